//! Text that a notebook can print.
//!
//! Names of files and studies come from data. A terminal escape sequence, a line break or a marker of evcxr's own
//! protocol in such a name must not change what a notebook shows.

/// `text` with control characters escaped, line breaks and tabs as they are, and no marker of evcxr.
///
/// ```text
/// a\x1b[31m  →  a\u{1b}[31m
/// ```
pub fn printable(text: &str) -> String {
    without_markers(&escaped(text, |c| matches!(c, '\n' | '\t')))
}

/// The same on one line: line breaks are escaped, too.
pub fn one_line(text: &str) -> String {
    without_markers(&escaped(text, |_| false))
}

fn escaped(text: &str, allowed: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Control characters, and those that reorder the text around them.
        let hidden = c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if hidden && !allowed(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// evcxr reads the lines of a cell's output: some begin a picture, end the cell, or ask for input. All such lines
/// contain a name with this prefix.
fn without_markers(text: &str) -> String {
    text.replace("EVCXR_", "EVCXR ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_line_breaks_of_a_name_are_shown_and_do_nothing() {
        let name = "scan\x1b[2J\r\nepoch 9: loss 0.000\u{202e}gpj";
        assert_eq!(one_line(name), "scan\\u{1b}[2J\\r\\nepoch 9: loss 0.000\\u{202e}gpj");
        assert_eq!(printable("L4/L5 – 45° µm\n\tä"), "L4/L5 – 45° µm\n\tä");
    }

    #[test]
    fn a_marker_of_evcxr_in_a_text_is_none() {
        for marker in ["EVCXR_BEGIN_CONTENT text/html", "EVCXR_EXECUTION_COMPLETE", "EVCXR_PANIC_NOTIFICATION"] {
            assert!(!printable(&format!("study {marker}\n")).contains("EVCXR_"));
        }
    }
}
