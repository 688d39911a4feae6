//! All figures on one page, and an image of it for each notebook.

use std::fmt::Write as _;
use std::path::Path;

use lumbar::figure::escape;
use lumbar_tests::browser::visit;
use serde_json::{Value, json};

use super::collect::Origin;

/// A figure as the browser drew it.
#[derive(Debug, Clone)]
pub(super) struct Drawn {
    pub(super) origin: Origin,
    pub(super) size_px: (u32, u32),
    /// Size of its smallest text that is not part of an image.
    pub(super) text_px: Option<f64>,
    /// What is wrong, as far as a browser can measure it.
    pub(super) faults: Vec<String>,
}

const STYLE: &str = "body{font:13px/1.4 'DejaVu Sans',sans-serif;margin:12px;background:#ececec}h2{font-size:18px;margin:14px 0 6px}\
    .cards{columns:3;column-gap:12px}.card{break-inside:avoid;background:#fff;padding:8px;margin:0 0 12px}\
    .card img{max-width:100%;height:auto;display:block}.card p{margin:0 0 4px}.card b{color:#780a3c}";

/// Writes `sheet.html` and `sheet-NAME.png`.
pub(super) fn write(chromium: &Path, drawn: &[Drawn], out: &Path) {
    let mut groups: Vec<&str> = drawn.iter().map(|one| one.origin.group.as_str()).collect();
    groups.dedup();
    let mut html = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Contact sheet</title><style>{STYLE}</style></head><body>"
    );
    let mut steps: Vec<Value> = vec![json!({ "wait": "[...document.images].every(image => image.complete)" })];
    for (number, group) in groups.iter().enumerate() {
        let _ = write!(html, "<section id=\"group-{number}\"><h2>{}</h2><div class=\"cards\">", escape(group));
        for one in drawn.iter().filter(|one| one.origin.group == *group) {
            let (name, file) = (escape(&one.origin.place), one.origin.file_name());
            let _ = write!(
                html,
                "<div class=\"card\"><p>{name}: {} × {} px <b>{}</b></p><a href=\"figures/{file}-2x.png\">\
                 <img alt=\"{name}\" src=\"figures/{file}-1x.png\"></a></div>",
                one.size_px.0,
                one.size_px.1,
                escape(&one.faults.join("; "))
            );
        }
        html.push_str("</div></section>");
        let image = out.join(format!("sheet-{}.png", escape(group)));
        steps.push(json!({ "screenshot": image, "of": format!("#group-{number}") }));
    }
    html.push_str("</body></html>\n");
    let file = out.join("sheet.html");
    std::fs::write(&file, html).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let url = format!("file://{}", file.display());
    visit(chromium, &[json!({ "url": url, "scripts": true, "width": 1800, "steps": steps })]);
}
