//! Crates outside the workspace, with its toolkit in place of the published one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const README: &str = include_str!("../../../README.md");
const WORKSPACE: &str = include_str!("../../../Cargo.toml");

/// A crate that is no member of the workspace, and has its versions of all dependencies. Warnings are errors.
pub(crate) struct OutsideCrate {
    folder: PathBuf,
}

impl OutsideCrate {
    /// Writes a crate with these files, the dependencies that the README prints, and further crates of the workspace. The
    /// paths are relative to the crate.
    pub(crate) fn new(
        name: &str,
        further: &[&str],
        files: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let package =
            format!("[package]\nname = {name:?}\nedition = \"2024\"\n[lints.rust]\nwarnings = \"deny\"\n");
        let further =
            further.iter().map(|name| format!("[dependencies.{name}]\npath = {:?}\n", root().join(name)));
        let manifest = [package, code_blocks("toml").join("\n")].into_iter().chain(further);
        OutsideCrate::with_manifest(name, &manifest.collect::<String>(), files)
    }

    /// Writes a crate with this manifest and these files into the folder `name`.
    pub(crate) fn with_manifest(
        name: &str,
        manifest: &str,
        files: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // Files of an earlier run.
        let _ = fs::remove_dir_all(&folder);
        // Cargo refuses the toolkit if its version is not the one that the manifest asks for.
        let toolkit = format!("[patch.crates-io]\nthegiant.path = {:?}\n", root().join("thegiant"));
        // The profile of the workspace, so that all crates share what is compiled.
        let profile = WORKSPACE.split("[profile.ci]").nth(1).and_then(|rest| rest.split('[').next());
        let profile = profile.expect("the profile ci");
        let outside = OutsideCrate { folder };
        outside.write("Cargo.toml", &format!("{manifest}\n[workspace]\n{toolkit}[profile.ci]{profile}"));
        outside.write("Cargo.lock", include_str!("../../../Cargo.lock"));
        for (path, text) in files {
            outside.write(&path, &text);
        }
        outside
    }

    /// Runs `cargo check` with these arguments.
    pub(crate) fn check(&self, arguments: &[&str]) -> Output {
        self.cargo("check", arguments)
    }

    /// Runs a command of Cargo that compiles.
    pub(crate) fn cargo(&self, command: &str, arguments: &[&str]) -> Output {
        Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .args([command, "--quiet", "--offline", "--profile", &profile(), "--target-dir"])
            .arg(target())
            .args(arguments)
            .current_dir(&self.folder)
            .output()
            .expect("cargo can be run")
    }

    /// The folder of the crate.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
}

/// Returns the code blocks of the README in a language.
pub(crate) fn code_blocks(language: &str) -> Vec<String> {
    let blocks = README.split("```").skip(1).step_by(2).filter(|block| block.starts_with(language));
    blocks.map(|block| block.split_once('\n').map_or("", |(_, code)| code).to_owned()).collect()
}

/// Returns the folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The profile of this test binary.
fn profile() -> String {
    let test = env::current_exe().expect("this binary has a path");
    let folder = test.ancestors().nth(2).and_then(Path::file_name).expect("target/PROFILE/deps/NAME");
    // Cargo calls the folder of the profile `dev` so.
    if folder == "debug" { "dev".to_owned() } else { folder.to_string_lossy().into_owned() }
}

/// The target folder of this test binary, whose artefacts the crates outside the workspace share.
fn target() -> PathBuf {
    let test = env::current_exe().expect("this binary has a path");
    test.ancestors().nth(3).expect("target/PROFILE/deps/NAME").to_owned()
}
