//! Small pieces of HTML.

use std::fmt::Write as _;

use base64::Engine as _;

use crate::figure::{Figure, MODEL_COLOUR, SEVERITY_COLOURS, escape, hex};

/// A table with names in the first column and numbers in the others; `head` and `rows` are HTML.
pub(super) fn table(caption: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    let mut html = format!("<div class=\"scroll\"><table><caption>{caption}</caption><thead><tr>");
    for name in head {
        let _ = write!(html, "<th scope=\"col\">{name}</th>");
    }
    html.push_str("</tr></thead><tbody>");
    for row in rows {
        html.push_str("<tr>");
        for (place, cell) in row.iter().enumerate() {
            let _ = if place == 0 {
                write!(html, "<th scope=\"row\">{cell}</th>")
            } else {
                write!(html, "<td>{cell}</td>")
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html
}

/// A figure inside the page: charts as SVG, images as PNG.
pub(super) fn inline_figure(figure: &Figure, caption: &str) -> String {
    let alt = escape(figure.alt());
    let body = match figure.svg() {
        // The SVG has the description itself. The element alone: HTML allows no XML declaration.
        Some(svg) => {
            let svg = svg.find("<svg").map_or(svg, |start| &svg[start..]);
            format!("<div>{svg}</div>")
        }
        None => {
            let png = base64::engine::general_purpose::STANDARD.encode(figure.png());
            let (width, height) = (figure.width_px(), figure.height_px());
            format!("<img alt=\"{alt}\" width=\"{width}\" height=\"{height}\" src=\"data:image/png;base64,{png}\">")
        }
    };
    let caption = if caption.is_empty() { String::new() } else { format!("<figcaption>{caption}</figcaption>") };
    format!("<figure>{body}{caption}</figure>\n")
}

/// One section of a page.
pub(super) struct Section {
    /// The name of its anchor.
    pub(super) id: &'static str,
    /// Its heading.
    pub(super) title: &'static str,
    /// HTML.
    pub(super) body: String,
}

/// Nothing is loaded from anywhere: images are inside the page, as are its style and its script.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The whole file. `code` are style and script of the views; empty if there are none.
pub(super) fn page(title: &str, head: &str, sections: &[Section], code: &str) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{title}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{head}\n\
         <nav aria-label=\"sections\">",
        style()
    );
    for Section { id, title, .. } in sections {
        let _ = write!(html, "<a href=\"#{id}\">{title}</a>");
    }
    html.push_str("</nav>\n");
    for Section { id, title, body } in sections {
        let _ = write!(html, "<section id=\"{id}\">\n<h2>{title}</h2>\n{body}</section>\n");
    }
    let _ = write!(html, "</main>\n{code}</body>\n</html>\n");
    html
}

/// The page's style, in the colours of the figures.
fn style() -> String {
    let [_, moderate, severe] = SEVERITY_COLOURS.map(hex);
    STYLE.replace("$model", &hex(MODEL_COLOUR)).replace("$moderate", &moderate).replace("$severe", &severe)
}

const STYLE: &str = "
body{font:15px/1.5 'DejaVu Sans',Verdana,sans-serif;color:#1a1a1a;background:#fff;max-width:1010px;margin:24px auto;padding:0 18px}
h1{font-size:26px;margin:0 0 8px}h2{font-size:20px;margin:38px 0 8px;border-bottom:2px solid $model;padding-bottom:4px}
h3{font-size:16px;margin:22px 0 6px}h4{font-size:14px;margin:4px 0}
p{max-width:78ch;margin:8px 0}
.warning{border-left:5px solid $severe;background:#fdf1e8;padding:8px 14px;font-weight:bold}
.note{border-left:5px solid $moderate;background:#fdf7e8;padding:6px 14px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 18px;margin:12px 0}dt{color:#545454}dd{margin:0}
nav{margin:14px 0}nav a{margin-right:16px;color:$model}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:12.5px;font-variant-numeric:tabular-nums;margin:10px 0}
caption{text-align:left;color:#545454;padding-bottom:4px}
th,td{padding:3px 7px;border-bottom:1px solid #e2e2e2;text-align:right;white-space:nowrap}
th{font-weight:bold}tbody th{font-weight:normal}th:first-child{text-align:left}
tbody th b{color:$model}
td small{color:#545454;font-weight:normal;font-size:11px}
figure{margin:14px 0}figure svg,figure img{max-width:100%;height:auto}figcaption{color:#545454;font-size:13px;max-width:78ch}
a:focus-visible{outline:3px solid $moderate}
.cases{display:grid;grid-template-columns:1fr;gap:18px}.case{border:1px solid #d0d0d0;padding:10px 14px}
.case p{margin:4px 0}
.case .lumbar-view{margin-top:14px}
@media print{body{max-width:none;margin:0;padding:0;font-size:12px}nav{display:none}.scroll{overflow:visible}
table,.lumbar-view table{font-size:9px}th,td{padding:2px 4px}td small{font-size:8px}figcaption{font-size:11px}
h2{margin-top:16px}.case{padding:6px 0;border-width:1px 0 0}figure svg,figure img{max-height:22cm}
section,table{break-inside:auto}figure,tr{break-inside:avoid}h2,h3,h4,.case h4+p{break-after:avoid}}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_data_cannot_become_markup() {
        assert_eq!(escape("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }

    #[test]
    fn the_style_has_the_colours_of_the_figures_and_no_name_is_left() {
        let style = style();
        assert!(!style.contains('$') && style.contains(&hex(SEVERITY_COLOURS[2])), "{style}");
    }

    #[test]
    fn an_image_is_inside_the_page_with_its_description() {
        let figure = Figure::from_rgb("two <pixels>", (2, 1), vec![0; 6]).unwrap();
        let html = inline_figure(&figure, "");
        assert!(html.contains("alt=\"two &lt;pixels&gt;\" width=\"2\" height=\"1\" src=\"data:image/png;base64,iVBOR"));
    }
}
