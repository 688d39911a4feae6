//! `cargo xtask setup --timings`: which crates the compilation spends its time on.
//!
//! Cargo writes a page with the times of every crate for each build that asks for it. The numbers are read from these
//! pages; the pages remain in `cargo-timings` in the target folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// Crates below this are summed up.
const SHOWN_S: f64 = 10.0;
/// What precedes the times in cargo's page.
const DATA: &str = "const UNIT_DATA = ";

/// Seconds by crate and version; a crate that was compiled several times is the sum.
type Seconds = BTreeMap<String, f64>;

/// Removes the pages of earlier builds.
pub(crate) fn clear(target: &Path) -> Result<()> {
    let folder = target.join("cargo-timings");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    Ok(())
}

/// A table of the crates that took longest, over all builds since [`clear`].
pub(crate) fn table(target: &Path) -> Result<String> {
    let folder = target.join("cargo-timings");
    let mut seconds = Seconds::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        // cargo writes each page twice: with the time of the build in its name, and as the newest one
        if path.file_name().is_some_and(|name| name != "cargo-timing.html") {
            let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            add(&mut seconds, &page).with_context(|| format!("{} has no times", path.display()))?;
        }
    }
    Ok(rows(&seconds))
}

fn add(seconds: &mut Seconds, page: &str) -> Result<()> {
    let from = page.find(DATA).with_context(|| format!("expected `{DATA}`"))? + DATA.len();
    let mut values = serde_json::Deserializer::from_str(&page[from..]).into_iter::<Value>();
    let units = values.next().context("expected a list")??;
    for unit in units.as_array().context("expected a list")? {
        let (name, version) = (unit["name"].as_str(), unit["version"].as_str());
        let (Some(name), Some(version), Some(duration)) = (name, version, unit["duration"].as_f64()) else {
            anyhow::bail!("expected name, version and duration, found {unit}");
        };
        *seconds.entry(format!("{name} {version}")).or_default() += duration;
    }
    Ok(())
}

fn rows(seconds: &Seconds) -> String {
    let mut sorted: Vec<(&String, &f64)> = seconds.iter().collect();
    sorted.sort_by(|a, b| b.1.total_cmp(a.1));
    let shown = sorted.iter().take_while(|(_, seconds)| **seconds >= SHOWN_S).count();
    let mut text = format!("seconds of one compiler, {} crates in all:\n", sorted.len());
    for (name, seconds) in &sorted[..shown] {
        text += &format!("{seconds:>8.1}  {name}\n");
    }
    let rest: f64 = sorted[shown..].iter().map(|(_, seconds)| **seconds).sum();
    let all: f64 = seconds.values().sum();
    text + &format!("{rest:>8.1}  {} others, below {SHOWN_S} s each\n{all:>8.1}  all\n", sorted.len() - shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_from_cargos_page_and_summed_by_crate() {
        let unit =
            |name: &str, duration: f64| format!(r#"{{"name":"{name}","version":"1.0.0","duration":{duration}}}"#);
        let page = |units: &[String]| format!("<script>\n{DATA}[{}];\nconst X = 1;</script>", units.join(","));
        let mut seconds = Seconds::new();
        add(&mut seconds, &page(&[unit("polars", 12.5), unit("tch", 3.0)])).unwrap();
        add(&mut seconds, &page(&[unit("polars", 1.0), unit("serde", 2.0)])).unwrap();
        let text = rows(&seconds);
        assert_eq!(text.lines().nth(1), Some("    13.5  polars 1.0.0"), "{text}");
        assert_eq!(text.lines().nth(2), Some("     5.0  2 others, below 10 s each"), "{text}");
        assert_eq!(text.lines().nth(3), Some("    18.5  all"), "{text}");
        assert!(add(&mut seconds, "<html>").unwrap_err().to_string().contains(DATA));
    }
}
