//! How values show themselves at the end of a cell.
//!
//! [`Show::show`] turns a value into a [`Shown`]: the same content in one or more mime types, from which
//! JupyterLab takes the richest that it supports. Nothing here prints; [`EvcxrDisplay::evcxr_display`], which
//! evcxr calls, does.

mod array;
mod dicom;
mod figure;
mod frame;
mod html;
mod metric;
mod study_table;
mod summary;
mod tensor;
mod train;

use base64::Engine as _;
use lumbar::figure::Figure;
use lumbar_dicom::escaped_lines;

pub use html::escape;

/// One value in one or more mime types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    parts: Vec<(&'static str, String)>,
}

impl Shown {
    /// Plain text, for consoles and for searching.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.parts.push(("text/plain", text.into()));
        self
    }

    /// HTML; text from data has to be [`escape`]d before.
    #[must_use]
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.parts.push(("text/html", html.into()));
        self
    }

    /// A PNG file.
    #[must_use]
    pub fn png(mut self, bytes: &[u8]) -> Self {
        self.parts.push(("image/png", base64::engine::general_purpose::STANDARD.encode(bytes)));
        self
    }

    /// An SVG file.
    #[must_use]
    pub fn svg(mut self, svg: impl Into<String>) -> Self {
        self.parts.push(("image/svg+xml", svg.into()));
        self
    }

    /// A figure: SVG with PNG beside it if there is SVG. A figure of pixels only is an HTML image that has its width on
    /// the page: evcxr passes no metadata on, and browsers would show the PNG file, whose resolution is higher, too
    /// large.
    #[must_use]
    pub fn figure(self, figure: &Figure) -> Self {
        match figure.svg() {
            Some(svg) => self.png(figure.png()).svg(figure::narrowing(svg)),
            None => self.html(figure::image(figure)),
        }
    }

    /// Mime types and contents.
    pub fn parts(&self) -> &[(&'static str, String)] {
        &self.parts
    }

    /// The form in which evcxr reads it from a cell's standard output. Control characters in the content are escaped.
    pub fn to_evcxr(&self) -> String {
        use std::fmt::Write as _;
        let mut all = String::new();
        for (mime, content) in &self.parts {
            let content = escaped_lines(content);
            let _ = writeln!(all, "EVCXR_BEGIN_CONTENT {mime}\n{content}\nEVCXR_END_CONTENT");
        }
        all
    }
}

/// A value that can be shown in a notebook.
pub trait Show {
    /// The value as text, HTML or image.
    fn show(&self) -> Shown;
}

/// The method that evcxr calls on the value at the end of a cell; the prelude brings it into scope.
pub trait EvcxrDisplay {
    /// Shows the value below the cell.
    fn evcxr_display(&self);
}

impl<T: Show + ?Sized> EvcxrDisplay for T {
    fn evcxr_display(&self) {
        print!("{}", self.show().to_evcxr());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_data_cannot_end_a_content_begin_another_or_move_the_cursor() {
        let name = "a\nEVCXR_END_CONTENT\nEVCXR_BEGIN_CONTENT text/html\n\x1b[2J";
        let text = Shown::default().text(name).html(escape(name)).to_evcxr();
        assert_eq!((text.matches("EVCXR_BEGIN_CONTENT").count(), text.matches("EVCXR_END_CONTENT").count()), (2, 2));
        assert!(!text.contains('\x1b') && text.contains("\\u{1b}[2J"), "{text}");
    }
}
