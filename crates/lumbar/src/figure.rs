//! Figures: images and charts as PNG and SVG bytes. Nothing here opens a window.
//!
//! Every function takes values and returns a [`Figure`]. `lumbar-notebook` displays it; the command line writes it to a
//! file. Text is set in DejaVu Sans, which is part of the library, so that figures look the same on machines without
//! fonts. PNG files have twice the resolution of the page.
//!
//! All figures speak one language: [`SEVERITY_COLOURS`] for severities, axes with titles, slices with a scale bar, side
//! letters, display window and open rings around annotated points. [`Figure::faults`] says where a figure does not.
//!
//! - [`Tile`], [`montage()`]: slices with true proportions, scale bar, letters for the patient's sides, markers and
//!   lines. [`Tile::heat`] overlays a heat map, such as Grad-CAM.
//! - [`stack_montage`]: some slices of a stack, with the number of those that are not shown.
//! - [`class_bars`]: the frequency of each severity.
//! - [`severity_table`]: the 25 predictions of a study beside its labels.
//! - [`score_baselines`]: a model's score beside its baselines.
//! - [`learning_curves`], [`curves`]: training over the epochs, and any other curves.
//! - [`probability_distributions`], [`ternary_plots`], [`reliability_diagram`], [`confusion_matrices`]: predictions
//!   compared with labels, for [groups of cells](CellGroup).
//! - [`StackView`], [`LinkedView`]: slices through which a reader scrolls, with a static image where scripts do not run.
//! - [`Figure::draw`]: anything that plotters can draw.

mod bars;
mod baselines;
mod checklist;
mod confusion;
mod curves;
mod distributions;
mod encode;
mod error;
mod groups;
mod heat;
mod montage;
mod palette;
mod pixels;
mod reliability;
mod scale;
mod severity_table;
mod sheet;
mod svg;
mod ternary;
mod text;
mod tile;
mod view;

use std::fmt;
use std::path::Path;
use std::sync::Once;

use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::style::{FontStyle, WHITE, register_font};

use self::checklist::FigureKind;
use self::sheet::Sheet;
use crate::data::atomic;

pub use bars::{ClassCount, class_bars};
pub use baselines::{ScoreRow, score_baselines};
pub use confusion::confusion_matrices;
pub use curves::{Curve, CurvePanel, FoldHistory, ReferenceLine, curves, learning_curves};
pub use distributions::probability_distributions;
pub use error::FigureError;
pub use groups::CellGroup;
pub use montage::{LegendEntry, MontageConfig, montage, stack_montage};
pub use palette::{LEVEL_COLOURS, MISSING_COLOUR, SEVERITY_COLOURS, condition_colour, level_colour, severity_colour};
pub(crate) use palette::{MODEL_COLOUR, hex};
pub use reliability::reliability_diagram;
pub use severity_table::severity_table;
pub use svg::escape;
pub use ternary::ternary_plots;
pub use tile::{Line, Marker, Tile, window_of};
pub use view::{LinkedView, LinkedViewConfig, StackView, VIEW_BYTES, view_code};

/// The font of text that is drawn with plotters.
const FONT: &str = "sans-serif";

/// Names from data without control characters, which a page or a terminal would obey.
fn printable(text: &str) -> String {
    lumbar_dicom::escaped(text).to_string()
}

/// A finished figure: PNG bytes, and SVG for charts.
///
/// ```
/// use lumbar::figure::Figure;
/// use plotters::prelude::*;
///
/// let figure = Figure::draw("a circle", (200, 100), |area| {
///     area.draw(&Circle::new((100, 50), 30, BLUE.filled()))
/// })?;
/// assert_eq!((figure.width_px(), figure.height_px()), (200, 100));
/// assert!(figure.png().starts_with(b"\x89PNG"));
/// # Ok::<(), lumbar::figure::FigureError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Figure {
    alt: String,
    width_px: u32,
    height_px: u32,
    png: Vec<u8>,
    svg: Option<String>,
    faults: Vec<String>,
}

/// The bitmap that [`Figure::draw`] passes to its closure.
pub type Canvas<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

impl Figure {
    /// A figure drawn with plotters on a white bitmap of `size_px` (width, height).
    ///
    /// `alt` describes the figure in a few words, for readers who do not see it.
    ///
    /// # Errors
    /// [`FigureError::Drawing`] with the closure's error as text.
    pub fn draw<E: std::fmt::Display>(
        alt: impl Into<String>,
        size_px: (u32, u32),
        draw: impl FnOnce(&Canvas<'_>) -> Result<(), E>,
    ) -> Result<Self, FigureError> {
        fonts();
        let mut rgb = vec![255; size_px.0 as usize * size_px.1 as usize * 3];
        {
            let area = BitMapBackend::with_buffer(&mut rgb, size_px).into_drawing_area();
            area.fill(&WHITE).map_err(FigureError::drawing)?;
            draw(&area).map_err(FigureError::drawing)?;
            area.present().map_err(FigureError::drawing)?;
        }
        Self::from_rgb(alt, size_px, rgb)
    }

    /// A figure from its marks: PNG at twice the resolution, and SVG if there are no pixels among the marks.
    ///
    /// `draw` begins below the title. A title that needs more than one line makes the figure higher.
    fn of_sheet(
        alt: impl Into<String>,
        title: &str,
        (width_px, height_px): (i32, i32),
        kind: FigureKind,
        draw: impl FnOnce(&mut Sheet),
    ) -> Result<Self, FigureError> {
        let alt = printable(&alt.into());
        let mut sheet = Sheet::default();
        let more_px = sheet.title(title, f64::from(width_px - 28));
        draw(&mut sheet);
        let page_px = (width_px.unsigned_abs(), height_px.unsigned_abs() + more_px);
        let (size_px, mut rgb) = pixels::render(&sheet, page_px);
        encode::reduce(&mut rgb);
        let png = encode::png(size_px, &rgb, pixels::DENSITY).map_err(FigureError::drawing)?;
        let svg = svg::svg(&sheet, page_px, &alt);
        let faults = checklist::faults(&sheet, kind, page_px);
        Ok(Self { alt, width_px: page_px.0, height_px: page_px.1, png, svg, faults })
    }

    /// A figure from rows of red, green and blue bytes.
    ///
    /// # Errors
    /// [`FigureError::Size`] if `rgb` is not width × height × 3 bytes long.
    pub fn from_rgb(alt: impl Into<String>, size_px: (u32, u32), rgb: Vec<u8>) -> Result<Self, FigureError> {
        let (width_px, height_px) = size_px;
        let found = rgb.len();
        if found == 0 || found as u64 != u64::from(width_px) * u64::from(height_px) * 3 {
            return Err(FigureError::Size { width_px, height_px, bytes: found });
        }
        let png = encode::png(size_px, &rgb, 1).map_err(FigureError::drawing)?;
        Ok(Self { alt: printable(&alt.into()), width_px, height_px, png, svg: None, faults: Vec::new() })
    }

    /// What is wrong with the figure, one sentence each: text that is cut off, shortened, covered by other text or
    /// smaller than 11 pixels at 900 pixels width, an axis without a title, slices without a scale bar.
    ///
    /// Figures of [`Figure::draw`] and [`Figure::from_rgb`] are not checked: their content is not known.
    ///
    /// ```
    /// use lumbar::figure::{Curve, CurvePanel, curves};
    ///
    /// let curve = Curve { name: "fold 0".into(), points: vec![(1.0, 0.9), (2.0, 0.7)] };
    /// let mut panel = CurvePanel { curves: vec![curve], x_label: "epoch".into(), ..CurvePanel::default() };
    /// assert!(curves("Run", &[panel.clone()])?.faults()[0].contains("no title"));
    /// panel.title = "score".into();
    /// assert!(curves("Run", &[panel])?.faults().is_empty());
    /// # Ok::<(), lumbar::figure::FigureError>(())
    /// ```
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// The description.
    pub fn alt(&self) -> &str {
        &self.alt
    }

    /// Width on the page in pixels.
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Height on the page in pixels.
    pub fn height_px(&self) -> u32 {
        self.height_px
    }

    /// The content of a PNG file.
    pub fn png(&self) -> &[u8] {
        &self.png
    }

    /// The content of an SVG file; `None` if the figure was drawn as pixels only.
    pub fn svg(&self) -> Option<&str> {
        self.svg.as_deref()
    }

    /// Writes a file. Its extension, `png` or `svg`, decides the format.
    ///
    /// # Errors
    /// [`FigureError::Extension`] for another extension, [`FigureError::NoSvg`] if the figure has no SVG,
    /// [`FigureError::Write`] if the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), FigureError> {
        let path = path.as_ref();
        let bytes = match (path.extension().and_then(|extension| extension.to_str()), &self.svg) {
            (Some("png"), _) => self.png.as_slice(),
            (Some("svg"), Some(svg)) => svg.as_bytes(),
            (Some("svg"), None) => return Err(FigureError::NoSvg { path: path.to_owned() }),
            _ => return Err(FigureError::Extension { path: path.to_owned() }),
        };
        atomic::write(path, bytes).map_err(|source| FigureError::Write { path: path.to_owned(), source })
    }
}

/// Description and size, without the bytes.
impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Figure({:?}, {} × {} pixels)", self.alt, self.width_px, self.height_px)
    }
}

/// Registers the font with plotters, once.
fn fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // the embedded font files are valid, and a test draws with them: there is no error to handle
        let _ = register_font(FONT, FontStyle::Normal, include_bytes!("figure/fonts/DejaVuSans.ttf"));
        let _ = register_font(FONT, FontStyle::Bold, include_bytes!("figure/fonts/DejaVuSans-Bold.ttf"));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::prelude::*;

    #[test]
    fn text_does_not_need_an_installed_font() {
        let write = |text: &'static str| {
            Figure::draw("text", (200, 40), |area| area.draw(&Text::new(text, (5, 5), (FONT, 20).into_font()))).unwrap()
        };
        assert_ne!(write("L4/L5").png(), write("").png());
        assert_ne!(write("L4/L5").png(), write("L5/S1").png());
    }

    #[test]
    fn bytes_of_the_wrong_length_are_an_error_with_the_expected_and_found_length() {
        let error = Figure::from_rgb("", (4, 4), vec![0; 47]).unwrap_err().to_string();
        assert!(error.contains("4") && error.contains("47") && error.contains("48"), "{error}");
    }

    #[test]
    fn an_unknown_extension_is_an_error_before_anything_is_written() {
        let figure = Figure::from_rgb("", (1, 1), vec![0; 3]).unwrap();
        let path = std::env::temp_dir().join("lumbar-figure.gif");
        assert!(matches!(figure.write(&path), Err(FigureError::Extension { .. })));
        assert!(!path.exists());
    }
}
