//! Answers `cargo metadata` and the other questions that evcxr and rust-analyzer ask several times before the first
//! cell is compiled.
//!
//! - The packages are those that are compiled for the cells. By itself, `cargo metadata` also names optional ones that
//!   no enabled feature needs, procedural macros, and what only build scripts use. rust-analyzer would read each of
//!   them, and search it for implementations when a cell's first `let` has to be inferred; the macros it cannot run
//!   here anyway. `cargo tree` knows which are compiled.
//! - Crates that work inside (`INTERNAL`) are left out as well, with what only they need: they are half of all sources,
//!   and no type of theirs is in a signature that a cell calls. A variable of such a type, of a crate that a user has
//!   added, needs a type annotation; the compiler sees all of them.
//! - An answer is stored, and given again while everything that it depends on is as it was (see [`crate::direct`]).

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::{fs, os::unix::process::ExitStatusExt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::direct::inputs::{self, FileState};

/// The folder of stored answers, in the build folder.
const FOLDER: &str = ".lumbar-metadata";

/// Crates for system calls, compression, text search, hashes, fonts, colour profiles, executors and tables of characters
/// and time zones. They do not define macros with which other crates define their types. All those that a manifest
/// depends on directly are kept.
#[rustfmt::skip]
const INTERNAL: &[&str] = &[
    "linux-raw-sys", "rustix", "libc", "errno", "signal-hook", "signal-hook-registry", "socket2", "sysinfo", "raw-cpuid",
    "memmap2", "tempfile", "iana-time-zone", "getrandom", "tokio", "mio", "futures-util", "futures-executor",
    "parking_lot", "parking_lot_core", "crossbeam-deque", "crossbeam-epoch", "crossbeam-queue", "psm", "stacker",
    "regex", "regex-automata", "regex-syntax", "aho-corasick", "memchr", "unicode-width", "unicode-segmentation",
    "comfy-table", "chrono-tz", "winnow", "toml", "toml_parser", "toml_writer", "toml_datetime", "csv-core", "ryu", "zmij",
    "atoi_simd", "fast-float2", "simdutf8", "uuid", "time", "deranged", "ethnum", "argminmax", "libm", "zerocopy",
    "flate2", "miniz_oxide", "fdeflate", "crc32fast", "zip", "zstd", "zstd-safe", "zstd-sys", "bzip2", "bzip2-sys",
    "hayro-jpeg2000", "png", "moxcms", "pxfm", "ttf-parser", "owned_ttf_parser", "ab_glyph", "ab_glyph_rasterizer",
    "sha1", "sha2", "digest", "hmac", "pbkdf2", "aes", "blake3", "chacha20", "ppv-lite86", "const-oid", "xxhash-rust",
    "typenum", "generic-array", "hybrid-array", "block-buffer", "crypto-common", "cipher", "password-hash", "base64ct",
    "matrixmultiply", "torch-sys",
];

/// An answer and what it depends on.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    /// Hash of arguments, environment, manifest, lock and configuration.
    inputs: String,
    /// Cargo, this program, and the manifests of packages that are used by their path.
    files: Vec<FileState>,
    answer: String,
}

/// Whether cargo only reports something, without compiling.
pub fn is_question(arguments: &[OsString]) -> bool {
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    has("metadata") || has("locate-project") || has("--version") || (has("--print") && has("rustc")) || has("config")
}

/// Asks cargo in the current folder, or repeats its last answer, which is stored in `build_folder`. `tree` is another
/// call of cargo, without arguments.
///
/// # Errors
/// If cargo does not start or a folder cannot be read or written.
pub fn answer(
    mut cargo: Command,
    tree: Command,
    arguments: &[OsString],
    workspace_lock: &str,
    build_folder: &Path,
) -> io::Result<ExitStatus> {
    let manifest = fs::read_to_string("Cargo.toml")?;
    let folder = build_folder.join(FOLDER);
    let file = folder.join(format!("{}.json", inputs::name(arguments, &manifest)));
    let before = inputs::hash(arguments, workspace_lock)?;
    if let Some(stored) = fs::read_to_string(&file).ok().and_then(|text| serde_json::from_str::<Stored>(&text).ok())
        && stored.inputs == before
        && stored.files.iter().all(FileState::is_unchanged)
    {
        io::stdout().write_all(stored.answer.as_bytes())?;
        return Ok(ExitStatus::from_raw(0));
    }
    let output = cargo.stdout(Stdio::piped()).spawn()?.wait_with_output()?;
    if !output.status.success() {
        io::stdout().write_all(&output.stdout)?;
        return Ok(output.status);
    }
    let mut text = String::from_utf8(output.stdout).map_err(io::Error::other)?;
    let is_metadata = arguments.iter().any(|word| word == "metadata");
    let mut metadata = if is_metadata { serde_json::from_str(&text)? } else { Value::Null };
    // rust-analyzer names the manifest; evcxr's own questions are for the names of direct dependencies. The packages of
    // Rust's own library are asked for in another folder.
    let own = std::env::current_dir()?.join("Cargo.toml");
    if arguments.windows(2).any(|pair| pair[0] == "--manifest-path" && pair[1] == own.as_os_str())
        && !metadata["resolve"].is_null()
        && let Some(compiled) = compiled(tree)?
    {
        keep(&mut metadata, &compiled);
        text = serde_json::to_string(&metadata)? + "\n";
    }
    io::stdout().write_all(text.as_bytes())?;
    if let Some(files) = files(&metadata) {
        fs::create_dir_all(folder)?;
        let temporary = file.with_extension("new");
        fs::write(&temporary, serde_json::to_string(&Stored { inputs: before, files, answer: text })?)?;
        fs::rename(temporary, file)?;
    }
    Ok(output.status)
}

/// `name version` of every package that is compiled for the cells; `None` if cargo cannot say.
fn compiled(mut cargo: Command) -> io::Result<Option<HashSet<String>>> {
    cargo.args(["tree", "--quiet", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]);
    let output = cargo.stderr(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success().then(|| text.lines().filter_map(name_and_version).collect()))
}

/// `polars 0.55.2` of `polars v0.55.2 (*)`.
fn name_and_version(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    Some(format!("{} {}", words.next()?, words.next()?.strip_prefix('v')?))
}

/// Removes from cargo's answer every package that is not in `compiled`, and what only works inside.
fn keep(metadata: &mut Value, compiled: &HashSet<String>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: HashMap<String, (String, bool)> = (metadata["packages"].as_array().into_iter().flatten())
        .map(|package| {
            let name = text(&package["name"]);
            let is_compiled = compiled.contains(&format!("{name} {}", text(&package["version"])));
            (text(&package["id"]), (name, is_compiled))
        })
        .collect();
    let roots: HashSet<String> = metadata["workspace_members"].as_array().into_iter().flatten().map(text).collect();
    let needs: HashMap<String, Vec<String>> = (metadata["resolve"]["nodes"].as_array().into_iter().flatten())
        .map(|node| {
            let list = node["deps"].as_array().into_iter().flatten().map(|dependency| text(&dependency["pkg"]));
            (text(&node["id"]), list.collect())
        })
        .collect();
    let mut ids = HashSet::new();
    let mut waiting: Vec<String> = roots.iter().cloned().collect();
    while let Some(id) = waiting.pop() {
        for next in needs.get(&id).into_iter().flatten() {
            let is_wanted = packages.get(next).is_some_and(|(name, is_compiled)| {
                *is_compiled && (roots.contains(&id) || !INTERNAL.contains(&name.as_str()))
            });
            if is_wanted && !ids.contains(next) {
                waiting.push(next.clone());
            }
        }
        ids.insert(id);
    }

    let is_in = |id: &Value| id.as_str().is_some_and(|id| ids.contains(id));
    if let Some(packages) = metadata["packages"].as_array_mut() {
        packages.retain(|package| is_in(&package["id"]));
    }
    let Some(nodes) = metadata["resolve"]["nodes"].as_array_mut() else { return };
    nodes.retain(|node| is_in(&node["id"]));
    for node in nodes {
        if let Some(list) = node["deps"].as_array_mut() {
            list.retain(|dependency| is_in(&dependency["pkg"]));
        }
        if let Some(list) = node["dependencies"].as_array_mut() {
            list.retain(is_in);
        }
    }
}

/// Cargo, this program and the manifests that may be edited; `None` if one of them cannot be read.
fn files(metadata: &Value) -> Option<Vec<FileState>> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let own = packages.filter(|package| package["source"].is_null());
    let manifests = own.filter_map(|package| package["manifest_path"].as_str().map(PathBuf::from));
    inputs::programs(None).into_iter().chain(manifests).map(|path| FileState::of(&path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn packages_that_are_not_compiled_are_left_out_everywhere() {
        let package = |name: &str| json!({"id": format!("registry+x#{name}@1.0.0"), "name": name, "version": "1.0.0"});
        let node = |name: &str, needs: &[&str]| {
            let ids: Vec<_> = needs.iter().map(|name| format!("registry+x#{name}@1.0.0")).collect();
            json!({"id": format!("registry+x#{name}@1.0.0"), "dependencies": ids,
                   "deps": ids.iter().map(|id| json!({"pkg": id})).collect::<Vec<_>>()})
        };
        let mut metadata = json!({
            "packages": [package("ctx"), package("polars"), package("reqwest"), package("zip"), package("tiny")],
            "workspace_members": ["registry+x#ctx@1.0.0"],
            "resolve": {"nodes": [
                node("ctx", &["polars"]),
                node("polars", &["reqwest", "zip"]),
                node("reqwest", &[]),
                node("zip", &["tiny"]),
                node("tiny", &[]),
            ]},
        });
        let mut direct = metadata.clone();
        direct["resolve"]["nodes"][0] = node("ctx", &["polars", "zip"]);

        let compiled = "ctx v1.0.0 (/kernel)\npolars v1.0.0\npolars v1.0.0 (*)\nzip v1.0.0\ntiny v1.0.0";
        let compiled = compiled.lines().filter_map(name_and_version).collect();
        keep(&mut metadata, &compiled);
        assert_eq!(metadata["packages"], json!([package("ctx"), package("polars")]));
        assert_eq!(metadata["resolve"]["nodes"], json!([node("ctx", &["polars"]), node("polars", &[])]));
        // a user who adds such a crate wants its types
        keep(&mut direct, &compiled);
        let names: Vec<_> = direct["packages"].as_array().unwrap().iter().map(|package| &package["name"]).collect();
        assert_eq!(names, ["ctx", "polars", "zip", "tiny"]);
    }
}
