//! Small pieces of HTML.

pub use lumbar::report::escape;

/// At most `length` characters, the last of them `…` where some were cut.
pub(super) fn shorten(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length.saturating_sub(1)).chain(['…']).collect()
}

/// A table: names of columns, rows of cells, and a line below.
pub(super) fn table(head: &[String], rows: &[Vec<String>], note: &str) -> String {
    let mut html = String::from("<table><thead><tr>");
    for name in head {
        html.push_str(&format!("<th>{}</th>", name));
    }
    html.push_str("</tr></thead><tbody>");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            html.push_str(&format!("<td>{cell}</td>"));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table>");
    if !note.is_empty() {
        html.push_str(&format!("<p style=\"color:gray;margin:2px 0\">{}</p>", escape(note)));
    }
    html
}
