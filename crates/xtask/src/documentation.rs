//! What `cargo doc` has to show.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::places::Places;
use crate::toolchain;

/// Checks that the page of `lumbar` is the library's: the program of the same name must not replace it.
pub(crate) fn check(places: &Places) -> Result<String> {
    let path = places.target.join(toolchain::host()?).join("doc/lumbar/index.html");
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let missing = missing_modules(&page);
    if !missing.is_empty() {
        bail!("{} does not list {}: is it the page of the library?", path.display(), missing.join(", "));
    }
    Ok("clean".to_owned())
}

/// Modules of the library that its front page does not link to.
fn missing_modules(page: &str) -> Vec<&'static str> {
    let links_to = |module: &str| page.contains(&format!("href=\"{module}/index.html\""));
    ["data", "model", "train"].into_iter().filter(|module| !links_to(module)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_the_modules_is_noticed() {
        let link = |module: &str| format!("<a class=\"mod\" href=\"{module}/index.html\">{module}</a>");
        assert!(missing_modules(&[link("data"), link("model"), link("train")].concat()).is_empty());
        assert_eq!(missing_modules(&link("data")), ["model", "train"]);
        assert_eq!(missing_modules("<a href=\"fn.main.html\">main</a>").len(), 3);
    }
}
