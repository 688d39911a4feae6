//! The kernel's `cargo` in a build folder: cells are compiled without cargo as long as nothing but the cell changes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A build folder as evcxr makes one, with a crate of the user's own beside it.
struct Kernel {
    disk: TempDir,
    variables: Vec<(&'static str, &'static str)>,
}

impl Kernel {
    fn new() -> Self {
        let kernel = Self { disk: tempfile::tempdir().unwrap(), variables: Vec::new() };
        kernel.write("own/Cargo.toml", "[package]\nname = \"own\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
        kernel.write("own/src/lib.rs", "pub const WORD: &str = \"own word 1\";\n");
        kernel.manifest("");
        kernel.write("kernel/Cargo.lock", "version = 4\n");
        kernel.write("workspace/Cargo.lock", "version = 4\n");
        kernel
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.disk.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn manifest(&self, more: &str) {
        let head =
            "[package]\nname = \"ctx\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n";
        self.write("kernel/Cargo.toml", &format!("{head}\n[dependencies]\nown = {{ path = \"../own\" }}\n{more}"));
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let folder = self.disk.path().join("kernel");
        let mut command = Command::new(env!("CARGO_BIN_EXE_lumbar-cargo"));
        command.args(arguments).current_dir(&folder).env("LUMBAR_BUILD_FOLDER", &folder);
        command.env("LUMBAR_CARGO", env!("CARGO")).env("LUMBAR_WORKSPACE", self.disk.path().join("workspace"));
        command.env("CARGO_TARGET_DIR", "target").env("CARGO_NET_OFFLINE", "true");
        command.env("RUSTFLAGS", "-Cprefer-dynamic").env("RUSTC", rustc());
        command.env_remove("RUSTC_WRAPPER").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
        command.envs(self.variables.iter().copied());
        command.output().unwrap()
    }

    /// Compiles a cell that prints `word`; whether cargo ran.
    fn cell(&self, word: &str) -> bool {
        let code =
            format!("#[unsafe(no_mangle)]\npub extern \"C\" fn cell() {{ println!(\"{word} {{}}\", own::WORD); }}\n");
        self.write("kernel/src/lib.rs", &code);
        let output = self.run(&["build", "--message-format=json"]);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{stderr}");
        let artifact = stdout.lines().find(|line| line.contains("\"compiler-artifact\"") && line.contains("libctx.so"));
        let artifact: serde_json::Value = serde_json::from_str(artifact.expect(&stdout)).unwrap();
        let library = Path::new(artifact["filenames"][0].as_str().unwrap()).to_owned();
        let bytes = fs::read(&library).unwrap();
        assert!(bytes.windows(word.len()).any(|part| part == word.as_bytes()), "the library is that of another cell");
        // evcxr renames the library before it loads it.
        fs::rename(&library, library.with_file_name(format!("{}.so", word.replace(' ', "_")))).unwrap();
        stderr.contains("Finished")
    }
}

fn rustc() -> String {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    format!("{}/bin/rustc", String::from_utf8(output.stdout).unwrap().trim())
}

#[test]
fn cargo_runs_when_anything_but_the_cell_has_changed() {
    let mut kernel = Kernel::new();
    assert!(kernel.cell("first cell"));
    assert!(!kernel.cell("second cell"));
    assert!(!kernel.cell("third cell"));

    kernel.write("own/src/lib.rs", "pub const WORD: &str = \"own word, changed\";\n");
    assert!(kernel.cell("after a change of a crate of one's own"));
    assert!(!kernel.cell("and after it"));

    kernel.variables.push(("RUST_BACKTRACE", "full"));
    assert!(kernel.cell("after a change of the environment"));
    assert!(!kernel.cell("then without cargo"));

    kernel.manifest("\n[profile.dev]\nopt-level = 1\n");
    assert!(kernel.cell("after a change of the manifest"));
    assert!(!kernel.cell("then without cargo again"));

    kernel.write(".cargo/config.toml", "[profile.dev.package.\"*\"]\nopt-level = 1\n");
    assert!(kernel.cell("after a change of the configuration"));
    assert!(!kernel.cell("the last cell"));

    let deps = kernel.disk.path().join("kernel/target/debug/deps");
    let own = fs::read_dir(deps).unwrap().map(|entry| entry.unwrap().path());
    let own = own.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("libown-"));
    own.for_each(|path| fs::remove_file(path).unwrap());
    assert!(kernel.cell("after a library was removed"));
}

#[test]
fn a_cell_that_does_not_compile_is_reported_as_by_cargo() {
    let kernel = Kernel::new();
    assert!(kernel.cell("a cell"));
    kernel.write("kernel/src/lib.rs", "fn cell() -> u8 { no_such_name }\n");
    let output = kernel.run(&["build", "--message-format=json"]);
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    let messages: Vec<serde_json::Value> = stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(messages.iter().any(|message| message["code"]["code"] == "E0425"), "{stderr}");
    assert!(!kernel.cell("the next cell"));
}

#[test]
fn an_answer_about_packages_is_repeated_until_a_manifest_changes() {
    let kernel = Kernel::new();
    assert!(kernel.cell("a cell"));
    let manifest = kernel.disk.path().join("kernel/Cargo.toml");
    let names = || {
        let output = kernel.run(&["metadata", "--format-version", "1", "--manifest-path", manifest.to_str().unwrap()]);
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap().iter();
        packages.map(|package| package["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["ctx", "own"]);
    assert_eq!(names(), ["ctx", "own"]);
    kernel.write("other/Cargo.toml", "[package]\nname = \"other\"\nversion = \"1.0.0\"\nedition = \"2024\"\n");
    kernel.write("other/src/lib.rs", "");
    let own = "[package]\nname = \"own\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
    kernel.write("own/Cargo.toml", &format!("{own}[build-dependencies]\nother = {{ path = \"../other\" }}\n"));
    assert_eq!(names(), ["ctx", "own"], "a package that only a build script uses");
    kernel.write("own/Cargo.toml", &format!("{own}[dependencies]\nother = {{ path = \"../other\" }}\n"));
    assert_eq!(names(), ["ctx", "other", "own"]);
}
