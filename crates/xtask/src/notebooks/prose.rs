//! Numbers in a notebook's text that are in no output, in no code and have no source.
//!
//! Such a number may have been right when it was written. The list warns: whether a number needs a source is for a person
//! to say.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// Whole numbers up to this one are part of the language.
const SMALL: f64 = 10.0;
/// Whole numbers in this range are years.
const YEARS: std::ops::RangeInclusive<f64> = 1900.0..=2099.0;
/// Characters of the text around a number in the list.
const CONTEXT: usize = 30;

/// A number in a text.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Number {
    value: f64,
    /// Digits after the decimal point.
    decimals: i32,
    /// First byte, and the byte after the last.
    at: (usize, usize),
}

/// A number of a notebook's text that comes from nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unsourced {
    /// Index of the cell, counted from 0 over all cells.
    pub(super) cell: usize,
    /// The number as it is written.
    pub(super) number: String,
    /// The text around it.
    pub(super) context: String,
}

impl fmt::Display for Unsourced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cell {:>2}: {:<8} {}", self.cell, self.number, self.context)
    }
}

/// Prints, for each notebook, the numbers of its text that come from nowhere.
pub(super) fn list(notebooks: &[PathBuf]) -> Result<()> {
    let mut values = BTreeMap::new();
    let mut read = Vec::with_capacity(notebooks.len());
    for path in notebooks {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let notebook: Value =
            serde_json::from_str(&text).with_context(|| format!("{} is not a notebook", path.display()))?;
        let name = stem(path);
        values.insert(prefix(&name).to_owned(), values_of(&notebook));
        read.push((name, notebook));
    }
    let mut lines = Vec::new();
    for (name, notebook) in &read {
        lines.extend(unsourced(notebook, prefix(name), &values).iter().map(|found| format!("   {name} {found}")));
    }
    if !lines.is_empty() {
        let count = lines.len();
        println!(
            "\n{count} numbers of the text are in no output and no code, and name no source (a link, the competition):"
        );
        println!("{}", lines.join("\n"));
    }
    Ok(())
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The number of a notebook, as texts name it: `05`.
fn prefix(name: &str) -> &str {
    name.split('_').next().unwrap_or(name)
}

/// The numbers of the text of `notebook`, whose own values and those of the notebooks that a paragraph names are in
/// `values`.
fn unsourced(notebook: &Value, own: &str, values: &BTreeMap<String, Vec<Number>>) -> Vec<Unsourced> {
    let mut found = Vec::new();
    for (cell, value) in cells(notebook, "markdown") {
        for paragraph in paragraphs(&text_of(&value["source"])) {
            if has_source(&paragraph) {
                continue;
            }
            let plain = without_code(&paragraph);
            let named = |name: &str| {
                name == own || paragraph.contains(&format!("{name}_")) || words(&plain).any(|word| word == name)
            };
            let known: Vec<&Number> =
                values.iter().filter(|(name, _)| named(name)).flat_map(|(_, numbers)| numbers).collect();
            for number in numbers(&plain) {
                if is_language(&plain, &number) || known.iter().any(|other| is_same(&plain, &number, other)) {
                    continue;
                }
                let (start, end) = number.at;
                let number = plain[start..end].to_owned();
                found.push(Unsourced { cell, number, context: context(&plain, start, end) });
            }
        }
    }
    found
}

fn cells<'a>(notebook: &'a Value, kind: &'a str) -> impl Iterator<Item = (usize, &'a Value)> {
    let cells = notebook["cells"].as_array().map_or(&[][..], Vec::as_slice);
    cells.iter().enumerate().filter(move |(_, cell)| cell["cell_type"] == kind)
}

/// A text of the notebook format: a string, or a list of them.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

/// All numbers of a notebook's code and of the readable parts of its outputs.
fn values_of(notebook: &Value) -> Vec<Number> {
    let mut found = Vec::new();
    for (_, cell) in cells(notebook, "code") {
        found.extend(numbers(&text_of(&cell["source"])));
        for output in cell["outputs"].as_array().into_iter().flatten() {
            found.extend(numbers(&text_of(&output["text"])));
            found.extend(numbers(&text_of(&output["data"]["text/plain"])));
            for kind in ["text/html", "image/svg+xml"] {
                found.extend(numbers(&without_markup(&text_of(&output["data"][kind]))));
            }
        }
    }
    found
}

/// What a reader sees of HTML or SVG.
fn without_markup(html: &str) -> String {
    let mut seen = String::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        seen.push_str(&rest[..start]);
        seen.push(' ');
        rest = &rest[start..];
        for name in ["script", "style"] {
            if rest[1..].starts_with(name) {
                rest = rest.find(&format!("</{name}")).map_or("", |end| &rest[end..]);
            }
        }
        rest = rest.find('>').map_or("", |end| &rest[end + 1..]);
    }
    seen + rest
}

/// Paragraphs, points of lists and rows of tables, without headings and code blocks.
fn paragraphs(markdown: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut is_code = false;
    for line in markdown.lines() {
        let line = line.trim();
        if line.starts_with("```") {
            is_code = !is_code;
        }
        let is_point = line.starts_with(['-', '*', '|', '+'])
            || line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        if line.is_empty() || line.starts_with('#') || is_point {
            found.push(String::new());
        }
        if is_code || line.starts_with('#') || line.starts_with("```") {
            continue;
        }
        if let Some(last) = found.last_mut() {
            last.push_str(line);
            last.push(' ');
        }
    }
    found.retain(|paragraph| !paragraph.trim().is_empty());
    found
}

fn has_source(paragraph: &str) -> bool {
    paragraph.contains("](http") || paragraph.contains("<http") || paragraph.to_lowercase().contains("competition")
}

/// Without code between backticks, formulas between dollars, and targets of links.
fn without_code(paragraph: &str) -> String {
    let mut text = paragraph.to_owned();
    for mark in ['`', '$'] {
        text = text.split(mark).step_by(2).collect::<Vec<_>>().join(" ");
    }
    let mut seen = String::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find("](") {
        seen.push_str(&rest[..=start]);
        rest = rest[start..].find(')').map_or("", |end| &rest[start + end + 1..]);
    }
    seen + rest
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Numbers that are written with digits: `1,975`, `33_800`, `0.05`, `1e-5`. Digits that follow a letter or a letter and a
/// hyphen are part of a name: `T2`, `ResNet-18`.
fn numbers(text: &str) -> Vec<Number> {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !is_digit(at) {
            at += 1;
            continue;
        }
        let start = at;
        let mut digits = String::new();
        let mut decimals = 0;
        loop {
            if is_digit(at) {
                digits.push(char::from(bytes[at]));
                at += 1;
            } else if matches!(bytes.get(at), Some(b',' | b'_'))
                && decimals == 0
                && (1..4).all(|k| is_digit(at + k))
                && !is_digit(at + 4)
            {
                at += 1;
            } else {
                break;
            }
        }
        if bytes.get(at) == Some(&b'.') && is_digit(at + 1) {
            digits.push('.');
            at += 1;
            while is_digit(at) {
                digits.push(char::from(bytes[at]));
                decimals += 1;
                at += 1;
            }
        }
        let exponent = at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'-' | b'+')));
        if bytes.get(at) == Some(&b'e') && is_digit(exponent) {
            let from = at;
            at = exponent;
            while is_digit(at) {
                at += 1;
            }
            digits.push_str(&text[from..at]);
            decimals = 12;
        }
        if let Ok(value) = digits.parse() {
            found.push(Number { value, decimals, at: (start, at) });
        }
    }
    found
}

/// Whether a number is part of the language or of a name, and needs no source.
fn is_language(text: &str, number: &Number) -> bool {
    let (start, end) = number.at;
    let (before, after) = (&text[..start], &text[end..]);
    let written = &text[start..end];
    let is_whole = number.decimals == 0;
    let last = before.chars().next_back().unwrap_or(' ');
    let is_named = last.is_alphabetic()
        || last == '_'
        || matches!(last, '-' | '/') && before.chars().rev().nth(1).is_some_and(char::is_alphanumeric);
    // `05` is a notebook, `[3]` one of its cells, `(0028,0301)` a DICOM tag
    let is_place = written.len() > 1 && written.starts_with('0') && is_whole || last == '[' && after.starts_with(']');
    let is_tag = |text: &str| {
        let text = text.as_bytes();
        text.len() >= 9 && text[4] == b',' && text[..4].iter().chain(&text[5..9]).all(u8::is_ascii_hexdigit)
    };
    let opened = before.rfind('(').map(|place| &text[place + 1..]);
    let is_tag = opened.is_some_and(|text| is_tag(text) && text.as_bytes().get(9) == Some(&b')'))
        && before.len() - before.rfind('(').unwrap_or(0) < 10;
    is_named
        || is_place
        || is_tag
        || is_whole && (number.value <= SMALL || YEARS.contains(&number.value) && !written.contains([',', '_']))
}

/// Whether `other`, from code or an output, is this number of a text: rounded to its decimals, as a percentage, or in
/// millions or thousands.
fn is_same(text: &str, number: &Number, other: &Number) -> bool {
    let after = text[number.at.1..].trim_start_matches([' ', '\u{a0}', '\u{202f}']);
    let rounds_to = |value: f64| (value - number.value).abs() <= 0.5 * 10_f64.powi(-number.decimals) * (1.0 + 1e-9);
    let unit = after.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
    rounds_to(other.value)
        || (after.starts_with('%') || unit.starts_with("percent"))
            && other.decimals > 0
            && rounds_to(100.0 * other.value)
        || matches!(unit, "M" | "million") && rounds_to(other.value / 1e6)
        || matches!(unit, "k" | "thousand") && rounds_to(other.value / 1e3)
}

/// The text around a number, on one line.
fn context(text: &str, start: usize, end: usize) -> String {
    let before: Vec<char> = text[..start].chars().rev().take(CONTEXT).collect();
    let after: String = text[end..].chars().take(CONTEXT).collect();
    let before: String = before.into_iter().rev().collect();
    format!("{before}{}{after}", &text[start..end]).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is listed of a text beside code and output.
    fn listed(markdown: &str, code: &str, output: &str) -> Vec<String> {
        let notebook = json!({ "cells": [
            { "cell_type": "markdown", "source": [markdown] },
            { "cell_type": "code", "source": code, "outputs": [{ "text": [output] }] },
        ]});
        let values = BTreeMap::from([("01".to_owned(), values_of(&notebook))]);
        unsourced(&notebook, "01", &values).into_iter().map(|found| found.number).collect()
    }

    #[test]
    fn a_number_from_nowhere_is_listed_with_its_cell_and_its_context() {
        let notebook = json!({ "cells": [
            { "cell_type": "code", "source": "", "outputs": [] },
            { "cell_type": "markdown", "source": ["# Readers\n", "Readers agree with\n", "κ 0.54 on the canal."] },
        ]});
        let found = unsourced(&notebook, "01", &BTreeMap::new());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "cell  1: 0.54     Readers agree with κ 0.54 on the canal.");
    }

    #[test]
    fn numbers_of_outputs_and_code_are_found_also_rounded_and_as_percentages() {
        let text = "The score is 0.80, that is 65 % of 33.8 M weights, 1,975 studies and 48 px.";
        let (code, output) = ("assert!(studies == 1_975); crop(48)", "score 0.802, share 0.648, 33812345 weights");
        assert!(listed(text, code, output).is_empty(), "{:?}", listed(text, code, output));
        assert_eq!(listed(text, "", ""), ["0.80", "65", "33.8", "1,975", "48"]);
        // another value, and fewer digits than the text claims
        assert_eq!(listed("0.81 and 0.8025", "", "0.802"), ["0.81", "0.8025"]);
    }

    #[test]
    fn numbers_with_a_source_are_not_listed() {
        for text in [
            "In the competition 1,261 of them run to the left.",
            "κ is 0.54 ([Lurie](https://doi.org/10.1)).",
            "Measured by <https://example.org>: 0.39 B.",
        ] {
            assert!(listed(text, "", "").is_empty(), "{text}");
        }
        // of another paragraph
        assert_eq!(listed("See the competition.\n\nκ is 0.54.\n- point 0.53", "", ""), ["0.54", "0.53"]);
    }

    #[test]
    fn names_years_tags_and_small_numbers_are_part_of_the_language() {
        let text = "## 12 Crops\nIn 2024, T2 and L4/L5 of ResNet-18 in lesson 05[17]: all 10, `size = 77`, $x < 99$, \
                    see [31](31_x.ipynb), PixelSpacing (0028,0030).\n```\n55\n```\n";
        assert!(listed(text, "", "").is_empty(), "{:?}", listed(text, "", ""));
    }

    #[test]
    fn a_number_of_a_notebook_that_the_paragraph_names_is_found_there() {
        let notebook = json!({ "cells": [{ "cell_type": "markdown", "source": "In 05 it was 0.895.\n\nNow 0.895." }] });
        let values = BTreeMap::from([("05".to_owned(), numbers("score 0.8951"))]);
        assert_eq!(unsourced(&notebook, "06", &values).len(), 1);
    }

    #[test]
    fn readers_do_not_see_markup_and_scripts() {
        let html =
            "<p style=\"width:900px\">a 12 <b>3.5</b></p><script>let x = 77;</script><style>a{top:66px}</style>88";
        let seen: Vec<f64> = numbers(&without_markup(html)).iter().map(|number| number.value).collect();
        assert_eq!(seen, [12.0, 3.5, 88.0]);
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let values = |text: &str| numbers(text).iter().map(|number| number.value).collect::<Vec<_>>();
        assert_eq!(
            values("1,975 and 33_800_000, 1e-5, [1,2], 0028,0301."),
            [1975.0, 33.8e6, 1e-5, 1.0, 2.0, 28.0, 301.0]
        );
        assert_eq!(values("0.5.3 5…10"), [0.5, 3.0, 5.0, 10.0]);
    }
}
