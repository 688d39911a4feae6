//! Data frames and series as tables.

use polars::prelude::{AnyValue, Column, DataFrame, Series};

use super::html::{escape, shorten, table};
use super::{Show, Shown};

/// Rows shown of a frame: the first and last of a longer one.
const ROWS: usize = 20;
/// Columns shown of a frame: the first and last of a wider one.
const COLUMNS: usize = 14;
/// Characters shown of a cell.
const CELL: usize = 60;

impl Show for DataFrame {
    fn show(&self) -> Shown {
        Shown::default().text(format!("{self}")).html(html(self))
    }
}

impl Show for Series {
    fn show(&self) -> Shown {
        self.clone().into_frame().show()
    }
}

/// The indices to show if at most `most` of `count` are; `None` stands for what is left out.
fn some_of(count: usize, most: usize) -> Vec<Option<usize>> {
    if count <= most {
        return (0..count).map(Some).collect();
    }
    let head = most / 2;
    let tail = most - head;
    (0..head).map(Some).chain([None]).chain((count - tail..count).map(Some)).collect()
}

fn cell(column: &Column, row: usize) -> String {
    match column.get(row) {
        Ok(AnyValue::Null) => "<span style=\"color:gray\">null</span>".to_owned(),
        Ok(AnyValue::String(text)) => escape(&shorten(text, CELL)),
        Ok(AnyValue::Float64(value)) => number(value),
        Ok(AnyValue::Float32(value)) => number(f64::from(value)),
        Ok(value) => escape(&shorten(&value.to_string(), CELL)),
        Err(error) => escape(&error.to_string()),
    }
}

/// At most four decimals, with an exponent if the number is very small or large.
fn number(value: f64) -> String {
    if value != 0.0 && value.is_finite() && !(1e-3..1e9).contains(&value.abs()) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.4}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn html(frame: &DataFrame) -> String {
    let (height, width) = frame.shape();
    let columns = some_of(width, COLUMNS);
    let rows = some_of(height, ROWS);
    let gap = || "⋯".to_owned();
    let head: Vec<String> = columns
        .iter()
        .map(|index| {
            index.map_or_else(gap, |index| {
                let column = &frame.columns()[index];
                let kind = escape(&column.dtype().to_string());
                format!("{}<br><span style=\"font-weight:normal;color:gray\">{kind}</span>", escape(column.name()))
            })
        })
        .collect();
    let body: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let value = |index: usize| row.map_or_else(gap, |row| cell(&frame.columns()[index], row));
            columns.iter().map(|index| index.map_or_else(gap, value)).collect()
        })
        .collect();
    let cut = if height > ROWS || width > COLUMNS { "; not all are shown" } else { "" };
    table(&head, &body, &format!("{height} rows × {width} columns{cut}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::*;

    #[test]
    fn a_frame_shows_its_shape_and_null_and_escapes_its_text() {
        let frame = df!("name" => [Some("<b>"), None], "value" => [0.25, 3.0]).unwrap();
        let html = html(&frame);
        assert!(html.contains("2 rows × 2 columns") && html.contains("&lt;b&gt;") && html.contains("null"), "{html}");
        assert!(!html.contains("<b>") && html.contains(">0.25<") && html.contains(">3<"), "{html}");
    }

    #[test]
    fn a_long_frame_shows_both_ends_and_says_so() {
        let frame = df!("row" => (0..1000).collect::<Vec<i32>>()).unwrap();
        let html = html(&frame);
        assert!(html.contains(">0<") && html.contains(">999<") && !html.contains(">500<"));
        assert!(html.contains("1000 rows × 1 columns; not all are shown"));
        assert_eq!(html.matches("<tr>").count(), 1 + ROWS + 1);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([number(0.1), number(-2.0), number(1e-7), number(f64::NAN)], ["0.1", "-2", "1.000e-7", "NaN"]);
    }
}
