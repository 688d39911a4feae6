//! The Python pins: the `pip:` section of `environment.yml`, the only list of them.

use std::path::Path;
use std::{fs, str};

use anyhow::{Context, Result, bail};

/// One `name==version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// Reads the pins of `environment.yml` in `workspace`.
pub(crate) fn read(workspace: &Path) -> Result<Vec<Pin>> {
    let path = workspace.join("environment.yml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("in {}", path.display()))
}

fn parse(text: &str) -> Result<Vec<Pin>> {
    let mut pins = Vec::new();
    let mut section_indent = None;
    for (number, line) in text.lines().enumerate() {
        let content = line.split(" #").next().unwrap_or_default();
        let trimmed = content.trim();
        let indent = content.len() - content.trim_start().len();
        if trimmed == "- pip:" {
            section_indent = Some(indent);
            continue;
        }
        let Some(section) = section_indent else { continue };
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if indent <= section {
            section_indent = None;
            continue;
        }
        let pin = trimmed.strip_prefix("- ").and_then(|item| item.split_once("=="));
        let Some((name, version)) = pin else {
            bail!("line {}: expected `- name==version` in the pip section, found `{trimmed}`", number + 1);
        };
        pins.push(Pin { name: name.trim().to_owned(), version: version.trim().to_owned() });
    }
    if pins.is_empty() {
        bail!("no pip section with pins");
    }
    Ok(pins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pip_section_is_read_and_nothing_else() {
        let pins =
            parse("dependencies:\n  - python=3.12\n  - pip:\n      # why\n      - torch==2.11.0 # cpu\n  - other\n");
        assert_eq!(pins.unwrap(), [Pin { name: "torch".into(), version: "2.11.0".into() }]);
    }

    #[test]
    fn an_unpinned_package_is_an_error_with_its_line() {
        let error = parse("dependencies:\n  - pip:\n      - torch>=2\n").unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("torch>=2"), "{error}");
    }

    /// tch x.y is written against one libtorch: 0.24 against 2.11 (its build script compares the exact version).
    #[test]
    fn torch_and_tch_agree() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let torch = read(workspace).unwrap().into_iter().find(|pin| pin.name == "torch").unwrap().version;
        let manifest = fs::read_to_string(workspace.join("Cargo.toml")).unwrap();
        let tch = manifest.lines().find_map(|line| line.strip_prefix("tch = \"=")).unwrap().trim_end_matches('"');
        let minor: u32 = torch.split('.').nth(1).unwrap().parse().unwrap();
        assert_eq!(tch, format!("0.{}.0", minor + 13), "torch {torch} needs tch 0.{}.0", minor + 13);
        assert!(manifest.contains(&format!("torch-sys = \"={tch}\"")));
    }
}
