//! A model's layers as a table.

use lumbar::model::Summary;

use super::html::{escape, table};
use super::{Show, Shown};

impl Show for Summary {
    fn show(&self) -> Shown {
        let head = ["layer", "kind", "result", "weights", "MFLOP"].map(str::to_owned);
        let row = |row: &lumbar::model::LayerRow| {
            let mflop = format!("{:.1}", 2.0 * row.macs as f64 / 1e6);
            let right = |text: String| format!("<div style=\"text-align:right\">{text}</div>");
            vec![
                escape(&row.name),
                escape(&row.kind),
                format!("{:?}", row.output),
                right(row.parameters.to_string()),
                right(mflop),
            ]
        };
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        let (parameters, gflop) = (self.parameters(), self.flops() as f64 / 1e9);
        let note = format!("input {:?}: {parameters} weights, {gflop:.3} GFLOP", self.input);
        Shown::default().text(self.to_string()).html(table(&head, &rows, &note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbar::model::{Architecture, BackboneConfig, EfficientNet};

    #[test]
    fn a_summary_shows_every_layer_and_the_sum() {
        let config = BackboneConfig::new(Architecture::EfficientNetB0);
        let model = EfficientNet::new(&config, 0, tch::Device::Cpu).unwrap();
        let summary = Summary::of(&model, &[1, 3, 64, 64]).unwrap();
        let shown = summary.show();
        let html = &shown.parts()[1].1;
        assert_eq!(html.matches("<tr>").count(), 1 + summary.rows.len());
        assert!(html.contains("5288548 weights") && html.contains("[1, 32, 32, 32]"), "{html}");
    }
}
