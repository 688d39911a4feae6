//! Histories of training, and Grad-CAM.

use lumbar::explain::CellCam;
use lumbar::figure::{MontageConfig, montage};
use lumbar::report::cam_tiles;
use lumbar::train::history::{EpochRecord, History};
use lumbar_dicom::counted;

use super::metric::rows_of;
use super::{Show, Shown};

/// Epochs shown: the last ones of a longer history.
const EPOCHS: usize = 30;

impl Show for Vec<EpochRecord> {
    fn show(&self) -> Shown {
        let skipped = self.len().saturating_sub(EPOCHS);
        let row = |record: &EpochRecord| {
            let score = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
            vec![
                (record.epoch + 1).to_string(),
                format!("{:.4}", record.training_loss),
                score(record.score()),
                format!("{:.2e}", record.lr),
                format!("{:.3}", record.gradient_norm),
                record.skipped_steps.to_string(),
            ]
        };
        let head = ["training loss", "validation score", "learning rate", "gradient norm", "skipped steps"];
        let of = if skipped > 0 { format!("last {EPOCHS} of ") } else { String::new() };
        rows_of(&head, self[skipped..].iter().map(row).collect(), &format!("{of}{}", counted(self.len(), "epoch")))
    }
}

impl Show for History {
    fn show(&self) -> Shown {
        match self.records() {
            Ok(records) => records.show(),
            Err(error) => Shown::default().text(error.to_string()),
        }
    }
}

impl Show for CellCam {
    fn show(&self) -> Shown {
        let text = format!("slice {} of {} has the greatest weight", self.strongest() + 1, self.weights.len());
        let config = MontageConfig { columns: 2, tile_px: 280, ..MontageConfig::default() };
        match montage(&cam_tiles(self, None), &config) {
            Ok(figure) => Shown::default().text(text).png(figure.png()),
            Err(error) => Shown::default().text(format!("{text}\nno image: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_history_shows_its_last_epochs() {
        let record = |epoch| EpochRecord {
            epoch,
            step: 0,
            lr: 1e-3,
            training_loss: 0.5,
            gradient_norm: 1.0,
            skipped_steps: 0,
            validation: None,
        };
        let records: Vec<EpochRecord> = (0..40).map(record).collect();
        let html = records.show().parts()[1].1.clone();
        assert!(html.contains("last 30 of 40 epochs") && html.contains("<td>40</td>") && !html.contains("<td>10</td>"));
        assert_eq!(html.matches("<td>–</td>").count(), 30);
    }
}
