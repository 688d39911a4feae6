//! The section of the worst cases: the largest, bounded in its size.

use std::fmt::Write as _;

use super::page::inline_figure;
use super::{Mistake, PAGE_BYTES, WorstCase};
use crate::anatomy::Severity;
use crate::figure::escape;

/// Bytes for the texts of a case.
const CASE_BYTES: usize = 4_000;

/// HTML of at most about `bytes` bytes, and the number of views in it. Images come before views, and the first cases of
/// both directions before the others.
pub(super) fn worst_section(worst: &[WorstCase], bytes: usize) -> (String, usize) {
    let mut html = String::from(
        "<p>The cells that cost most, one of each study. In the image, on the left: the slice with the annotated point; on \
         the right: the crop that the model sees and, in colour, where its features raise the severity that it found most \
         probable (Grad-CAM). A map shows where a model looks, not whether it is right to. Below it, if the study has \
         both series: sagittal and axial slices at the same point, with all labels and predictions of the study.</p>\n",
    );
    let mut left = bytes.saturating_sub(html.len() + worst.len() * CASE_BYTES);
    let mut parts: Vec<Parts> = worst.iter().map(|_| Parts::default()).collect();
    let order = order(worst);
    for &index in &order {
        if let Some(image) = &worst[index].image {
            parts[index].put(inline_figure(image, ""), &mut left, "image");
        }
    }
    let mut views = 0;
    for &index in &order {
        if let Some(view) = &worst[index].view {
            views += usize::from(parts[index].put(view.element().to_owned(), &mut left, "view"));
        }
    }
    for (mistake, title) in [
        (Mistake::Missed, "Missed: labelled more severe than predicted"),
        (Mistake::FalseAlarm, "False alarms: labelled milder than predicted"),
    ] {
        let mut cases = worst.iter().zip(&parts).filter(|(case, _)| case.cell.mistake == mistake).peekable();
        if cases.peek().is_none() {
            continue;
        }
        let _ = write!(html, "<h3>{title}</h3>\n<div class=\"cases\">\n");
        for (number, (case, parts)) in cases.enumerate() {
            html.push_str(&worst_case(case, parts, number + 1));
        }
        html.push_str("</div>\n");
    }
    (html, views)
}

/// What a case shows below its heading.
#[derive(Debug, Default)]
struct Parts {
    html: String,
    /// What was left out, one sentence each.
    left_out: String,
}

impl Parts {
    /// Adds `html` if it is not larger than what is `left`; whether it was added.
    fn put(&mut self, html: String, left: &mut usize, what: &str) -> bool {
        let fits = html.len() <= *left;
        if fits {
            *left -= html.len();
            self.html.push_str(&html);
        } else {
            let _ = write!(self.left_out, " The {what} is left out: a page has at most {} MB.", PAGE_BYTES / 1_000_000);
        }
        fits
    }
}

/// Indices of the cases: the first of each direction, the second of each direction, …
fn order(worst: &[WorstCase]) -> Vec<usize> {
    let of = |mistake: Mistake| {
        (0..worst.len()).filter(move |index| worst[*index].cell.mistake == mistake).enumerate().collect::<Vec<_>>()
    };
    let mut places = [of(Mistake::Missed), of(Mistake::FalseAlarm)].concat();
    places.sort_by_key(|(rank, _)| *rank);
    places.into_iter().map(|(_, index)| index).collect()
}

fn worst_case(case: &WorstCase, parts: &Parts, number: usize) -> String {
    let cell = &case.cell;
    let predicted: Vec<String> = Severity::ALL
        .iter()
        .map(|severity| format!("{} {}", severity.title(), percent(cell.probabilities[severity.index()])))
        .collect();
    let mut html = format!(
        "<div class=\"case\"><h4>Case {number}: {}</h4><p>labelled <b>{}</b>, predicted {}; loss {:.2}</p>",
        escape(&cell.target.to_string()),
        cell.truth,
        predicted.join(", "),
        cell.loss
    );
    html.push_str(&parts.html);
    let remark = format!("{}{}", case.remark, parts.left_out);
    if !remark.is_empty() {
        let _ = write!(html, "<p><small>{}</small></p>", escape(remark.trim_start()));
    }
    html.push_str("</div>\n");
    html
}

/// A probability that is not zero is not written as zero.
fn percent(probability: f64) -> String {
    if probability > 0.0 && probability < 0.0005 {
        return "below 0.1%".to_owned();
    }
    format!("{:.1}%", 100.0 * probability)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anatomy::Target;
    use crate::data::StudyId;
    use crate::figure::Figure;
    use crate::report::WorstCell;

    fn cases(count: usize) -> Vec<WorstCase> {
        (0..count)
            .map(|index| {
                let mistake = if index < count / 2 { Mistake::Missed } else { Mistake::FalseAlarm };
                let (target, truth) = (Target::ALL[index], Severity::Severe);
                let probabilities = [0.7, 0.2, 0.1];
                let study = StudyId(index as u64);
                let cell = WorstCell { study, target, truth, probabilities, loss: 1.0, mistake };
                let rgb = (0..30_000_u32).map(|value| (value.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
                let image = Figure::from_rgb(format!("image {index}"), (100, 100), rgb).unwrap();
                WorstCase { cell, image: Some(image), view: None, remark: "a remark.".to_owned() }
            })
            .collect()
    }

    #[test]
    fn the_first_of_both_directions_have_images_when_there_is_no_room_for_all() {
        let cases = cases(6);
        assert_eq!(order(&cases), [0, 3, 1, 4, 2, 5]);
        let (all, _) = worst_section(&cases, PAGE_BYTES);
        assert_eq!(all.matches("<img ").count(), 6);
        let image = inline_figure(cases[0].image.as_ref().unwrap(), "").len();
        let (text, _) = worst_section(&[], 0);
        let bytes = text.len() + 6 * CASE_BYTES + 3 * image + image / 2;
        let (some, views) = worst_section(&cases, bytes);
        assert!(some.len() <= bytes && views == 0, "{} of {bytes}", some.len());
        let shown: Vec<bool> = (0..6).map(|index| some.contains(&format!("alt=\"image {index}\""))).collect();
        assert_eq!(shown, [true, true, false, true, false, false]);
        assert_eq!(some.matches("a remark. The image is left out: a page has at most 10 MB.").count(), 3);
    }

    #[test]
    fn a_probability_that_is_not_zero_is_not_written_as_zero() {
        assert_eq!([0.0, 0.0004, 0.25].map(percent), ["0.0%", "below 0.1%", "25.0%"]);
    }
}
