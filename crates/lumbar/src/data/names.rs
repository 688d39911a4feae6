//! How names that come from files, folders and tables are printed.
//!
//! A file's name or a table's cell can hold anything: escape sequences of a terminal, a line feed that starts a
//! forged line, or the marker with which a cell of a notebook announces HTML. What is printed of them goes through
//! [`quoted`].

use std::path::Path;

/// The start of the lines with which evcxr's notebooks announce rich output. It counts anywhere in a line.
const MARKER: &str = "EVCXR_";

/// `text` in quotes, on one line: control characters and evcxr's markers are escaped, as in a Rust string.
///
/// ```
/// use lumbar::data::names::quoted;
///
/// assert_eq!(quoted("Axial T2"), r#""Axial T2""#);
/// assert_eq!(quoted("\u{1b}[2J\n"), r#""\u{1b}[2J\n""#);
/// assert_eq!(quoted("EVCXR_BEGIN_CONTENT text/html"), r#""EVCXR\u{5f}BEGIN_CONTENT text/html""#);
/// ```
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("{text:?}").replace(MARKER, r"EVCXR\u{5f}")
}

/// [`quoted`] for a path; bytes that are no UTF-8 are escaped, too.
#[must_use]
pub fn quoted_path(path: &Path) -> String {
    format!("{path:?}").replace(MARKER, r"EVCXR\u{5f}")
}

/// Text on one line without quotes, for text that is a sentence already, such as an error's: see
/// [`lumbar_dicom::escaped`].
///
/// ```
/// use lumbar::data::names::one_line;
///
/// assert_eq!(one_line("cannot open \"a\nb\": no such file"), r#"cannot open "a\u{a}b": no such file"#);
/// ```
#[must_use]
pub fn one_line(text: &str) -> String {
    lumbar_dicom::escaped(text).to_string()
}

/// `text` with the paths below `folder` relative to it: for pages and reports that must not say where on a disk the
/// data is. Paths count as they are displayed and as they are quoted; `folder` itself becomes `.`.
///
/// ```
/// use std::path::Path;
/// use lumbar::data::names::relative;
///
/// let text = "cannot read \"/home/me/data/train_images/1/2.dcm\": no such file";
/// assert_eq!(relative(text, Path::new("/home/me/data")), "cannot read \"train_images/1/2.dcm\": no such file");
/// ```
#[must_use]
pub fn relative(text: &str, folder: &Path) -> String {
    let shown = folder.display().to_string();
    let escaped = format!("{folder:?}");
    let escaped = escaped.trim_matches('"');
    let mut text = text.to_owned();
    for name in [shown.as_str(), escaped] {
        let name = name.trim_end_matches('/');
        if !name.is_empty() && name != "." {
            text = text.replace(&format!("{name}/"), "");
            text = replace_whole(&text, name);
        }
    }
    text
}

/// `text` with `.` for every `name` that no further letter of a path follows.
fn replace_whole(text: &str, name: &str) -> String {
    let mut parts = text.split(name);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let goes_on = part.starts_with(|next: char| next.is_alphanumeric() || "-_.".contains(next));
        out.push_str(if goes_on { name } else { "." });
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_line_or_a_notebooks_output() {
        for name in ["a\nb", "a\r\u{1b}[31m", "\u{7}", "\u{202e}dcm.1", "x EVCXR_BEGIN_CONTENT text/html"] {
            for text in [quoted(name), quoted_path(Path::new(name)), one_line(name)] {
                assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text}");
                assert!(!text.contains("EVCXR_"), "{text}");
            }
        }
        assert_eq!(one_line("größer als 3 µm, \"x\""), "größer als 3 µm, \"x\"");
    }

    #[test]
    fn paths_become_relative_and_other_folders_stay() {
        let folder = Path::new("/data/set");
        assert_eq!(relative("no data set at \"/data/set\": x", folder), "no data set at \".\": x");
        assert_eq!(relative("/data/set/1/2.dcm: cut", folder), "1/2.dcm: cut");
        assert_eq!(relative("/data/settings/1: x", folder), "/data/settings/1: x");
        let odd = Path::new("/data/a\"b");
        assert_eq!(relative(&format!("cannot read {:?}", odd.join("1.dcm")), odd), "cannot read \"1.dcm\"");
    }
}
