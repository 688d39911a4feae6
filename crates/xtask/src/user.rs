//! The command `lumbar` where people and shells look for it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::places::Places;
use crate::run;

/// Shells, and where they look below a `share` folder.
const COMPLETIONS: [(&str, &str); 2] =
    [("bash", "bash-completion/completions/lumbar"), ("fish", "fish/vendor_completions.d/lumbar.fish")];

/// Puts the command into the environment's `bin`, and completions and man pages into its `share`.
pub(crate) fn link_into_environment(places: &Places) -> Result<()> {
    let environment = places.python_environment();
    link(&places.command(), &environment.join("bin/lumbar"))?;
    write_texts(places, &environment.join("share"))
}

/// The same for the user: `~/.local/bin` and `~/.local/share`.
pub(crate) fn install(places: &Places) -> Result<String> {
    let home = PathBuf::from(env::var_os("HOME").context("HOME is not set, so the user's folders are unknown")?);
    let share = env::var_os("XDG_DATA_HOME").map_or_else(|| home.join(".local/share"), PathBuf::from);
    let bin = home.join(".local/bin");
    link(&places.command(), &bin.join("lumbar"))?;
    write_texts(places, &share)?;
    let path = env::var_os("PATH").unwrap_or_default();
    let note = if env::split_paths(&path).any(|folder| folder == bin) { "" } else { ", which is not on your PATH yet" };
    Ok(format!("lumbar is in {}{note}; completions and man pages are in {}", bin.display(), share.display()))
}

/// Makes `to` a link to the command. A program of another origin is not replaced.
fn link(command: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a program has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    match fs::symlink_metadata(to) {
        // A link to another home's command, or to one that was removed.
        Ok(metadata) if metadata.is_symlink() => {
            let target = fs::read_link(to)?;
            if target == command {
                return Ok(());
            }
            if !target.ends_with("bin/lumbar") {
                bail!("{} is a link to {}: remove it, then run the set-up again", to.display(), target.display());
            }
            fs::remove_file(to)?;
        }
        Ok(_) => bail!("{} is another program: remove it, then run the set-up again", to.display()),
        Err(_) => {}
    }
    std::os::unix::fs::symlink(command, to)
        .with_context(|| format!("cannot link {} to {}", to.display(), command.display()))
}

/// Writes completions and man pages below `share`, unless they are newer than the command.
fn write_texts(places: &Places, share: &Path) -> Result<()> {
    let command = places.command();
    let pages = share.join("man/man1");
    let time = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let last = share.join(COMPLETIONS[COMPLETIONS.len() - 1].1);
    if time(&last).is_some_and(|written| time(&command).is_some_and(|built| built <= written)) {
        return Ok(());
    }
    fs::create_dir_all(&pages).with_context(|| format!("cannot make {}", pages.display()))?;
    run::output(Command::new(&command).args(["man", "--out"]).arg(&pages))?;
    for (shell, path) in COMPLETIONS {
        let path = share.join(path);
        let folder = path.parent().context("a file has a folder")?;
        let text = run::output(Command::new(&command).args(["completions", shell]))?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_linked_and_another_program_of_that_name_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (command, other) = (folder.path().join("home/bin/lumbar"), folder.path().join("old/bin/lumbar"));
        let to = folder.path().join("user/bin/lumbar");
        link(&other, &to).unwrap();
        link(&command, &to).unwrap();
        link(&command, &to).unwrap();
        assert_eq!(fs::read_link(&to).unwrap(), command);
        fs::remove_file(&to).unwrap();
        fs::write(&to, "theirs").unwrap();
        assert!(link(&command, &to).unwrap_err().to_string().contains("another program"));
        fs::remove_file(&to).unwrap();
        std::os::unix::fs::symlink("/usr/bin/true", &to).unwrap();
        assert!(link(&command, &to).unwrap_err().to_string().contains("/usr/bin/true"));
    }
}
