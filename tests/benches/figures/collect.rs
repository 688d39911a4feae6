//! Figures in the outputs of notebooks.

use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// Where a figure comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// The notebook, or the report.
    pub(super) group: String,
    /// The cell, counted from 0 over all cells, or the report's section.
    pub(super) place: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.group, self.place)
    }
}

impl Origin {
    /// The same as the name of a file.
    pub(super) fn file_name(&self) -> String {
        self.to_string().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    }
}

/// A figure as HTML.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) origin: Origin,
    pub(super) html: String,
}

/// The figures of all notebooks of a folder in order, and the bytes of each notebook's outputs.
pub(super) fn notebooks(folder: &Path) -> (Vec<Picture>, Vec<(String, usize)>) {
    let list = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "ipynb"));
    paths.sort();
    let (mut pictures, mut sizes) = (Vec::new(), Vec::new());
    for path in paths {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let notebook: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let group = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut bytes = 0;
        for (cell, value) in notebook["cells"].as_array().into_iter().flatten().enumerate() {
            for output in value["outputs"].as_array().into_iter().flatten() {
                bytes += output.to_string().len();
                if let Some(html) = html_of(output) {
                    let origin = Origin { group: group.clone(), place: format!("[{cell}]") };
                    pictures.push(Picture { origin, html });
                }
            }
        }
        sizes.push((group, bytes));
    }
    (pictures, sizes)
}

/// What JupyterLab shows of an output with pictures: HTML before SVG before PNG, which has the width of its metadata.
fn html_of(output: &Value) -> Option<String> {
    let data = &output["data"];
    let text = |kind: &str| match &data[kind] {
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => Some(lines.iter().filter_map(Value::as_str).collect()),
        _ => None,
    };
    let svg = |svg: String| svg.find("<svg").map(|start| svg[start..].to_owned());
    let alt = text("text/plain").unwrap_or_default().replace(['"', '<', '\n'], " ");
    let width = output["metadata"]["image/png"]["width"].as_u64().map(|width| format!(" width=\"{width}\""));
    let width = width.unwrap_or_default();
    let png = |png: String| {
        format!("<img alt=\"{}\"{width} src=\"data:image/png;base64,{}\">", alt.trim(), png.replace('\n', ""))
    };
    text("text/html").or_else(|| text("image/svg+xml").and_then(svg)).or_else(|| text("image/png").map(png))
}
