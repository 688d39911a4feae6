//! Text for people: names from data, and numbers with nouns.

use std::fmt::{self, Write as _};

/// The prefix of the lines by which the notebook kernel recognises content.
const MARKER: &str = "EVCXR_";

/// A name as it may be printed: control characters, line and paragraph separators and marks that reverse
/// the direction of text become `\u{…}`, so that a file name can neither colour a terminal nor forge a line
/// of a report. The prefix by which the notebook kernel recognises content (`EVCXR_`) is broken in the same
/// way.
///
/// ```
/// use lumbar_dicom::escaped;
/// assert_eq!(escaped("1.dcm").to_string(), "1.dcm");
/// assert_eq!(escaped("\u{1b}[31mred\n2 of 2 files used").to_string(), "\\u{1b}[31mred\\u{a}2 of 2 files used");
/// ```
pub fn escaped(name: &str) -> impl fmt::Display + '_ {
    Escaped { text: name, has_lines: false }
}

/// The same for a text of several lines: line breaks and tabs are as they are.
///
/// ```
/// assert_eq!(lumbar_dicom::escaped_lines("a\n\tb\u{1b}").to_string(), "a\n\tb\\u{1b}");
/// ```
pub fn escaped_lines(text: &str) -> impl fmt::Display + '_ {
    Escaped { text, has_lines: true }
}

/// Whether [`escaped`] escapes a character: control characters, line and paragraph separators, and marks that change
/// the direction of text.
///
/// ```
/// assert!(lumbar_dicom::is_hidden('\u{202e}') && !lumbar_dicom::is_hidden('µ'));
/// ```
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

struct Escaped<'a> {
    text: &'a str,
    has_lines: bool,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.text;
        // long texts, such as images in base64, are written in few pieces
        while let Some(at) = rest.find(|c| c == 'E' || is_hidden(c)) {
            let (before, from) = rest.split_at(at);
            f.write_str(before)?;
            rest = if let Some(after) = from.strip_prefix(MARKER) {
                f.write_str("EVCXR\\u{5f}")?;
                after
            } else {
                let mut chars = from.chars();
                match chars.next() {
                    Some(c @ ('\n' | '\t')) if self.has_lines => f.write_char(c)?,
                    Some(c) if is_hidden(c) => write!(f, "{}", c.escape_unicode())?,
                    Some(c) => f.write_char(c)?,
                    None => {}
                }
                chars.as_str()
            };
        }
        f.write_str(rest)
    }
}

/// A number with its noun in the singular or the plural: "1 slice", "2 slices", "3 studies", "1 series".
///
/// ```
/// use lumbar_dicom::counted;
/// assert_eq!([counted(1, "stack"), counted(0, "study"), counted(7, "series")], ["1 stack", "0 studies", "7 series"]);
/// ```
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        _ if noun.ends_with("series") => format!("{count} {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_of_the_kernel_is_broken_and_the_letter_alone_is_not() {
        assert_eq!(escaped("EVCXR_EVCXR_END EVC E").to_string(), "EVCXR\\u{5f}EVCXR\\u{5f}END EVC E");
    }

    #[test]
    fn names_with_line_breaks_are_one_line_and_texts_keep_theirs() {
        let name = "scan\x1b[2J\r\nepoch 9\u{202e}gpj";
        assert_eq!(escaped(name).to_string(), "scan\\u{1b}[2J\\u{d}\\u{a}epoch 9\\u{202e}gpj");
        assert_eq!(escaped_lines("L4/L5 – 45° µm\n\tä\r").to_string(), "L4/L5 – 45° µm\n\tä\\u{d}");
    }
}
