use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::support::{OutsideCrate, root};

/// The placeholders that `cargo generate` replaces, and their values here.
const PLACEHOLDERS: [(&str, &str); 3] =
    [("{{project-name}}", "my-service"), ("{{crate_name}}", "my_service"), ("{{description}}", "A service")];

#[test]
fn a_service_from_the_template_passes_its_tests_and_is_formatted() {
    let mut files = Vec::new();
    read_folder(&root().join("template"), &mut files);
    let mut files: Vec<_> = files.into_iter().map(|(path, text)| (expand(&path), expand(&text))).collect();
    for (path, text) in files.iter().filter(|(path, _)| path != "cargo-generate.toml") {
        assert!(!path.contains("{{") && !text.contains("{{"), "{path} has an unknown placeholder");
    }
    let manifest = files.iter().position(|(path, _)| path == "Cargo.toml").expect("a manifest");
    let (_, manifest) = files.swap_remove(manifest);
    // The settings of the workspace are not those of a service.
    files.push(("rustfmt.toml".into(), String::new()));
    let service = OutsideCrate::with_manifest("template", &manifest, files);

    let output = service.cargo("test", &[]);
    assert!(output.status.success(), "{}", text(&output));
    let ran = text(&output)
        .lines()
        .filter(|line| line.starts_with("running ") && *line != "running 0 tests")
        .count();
    assert_eq!(ran, 2, "{}", text(&output));

    let sources = ["src/lib.rs", "src/main.rs", "tests/commands.rs", "tests/program.rs"];
    let mut rustfmt = Command::new("rustfmt");
    let rustfmt = rustfmt.args(["--check", "--edition", "2024"]).args(sources).current_dir(service.folder());
    let output = rustfmt.output().expect("rustfmt can be run");
    assert!(output.status.success(), "{}", text(&output));
}

fn expand(text: &str) -> String {
    PLACEHOLDERS.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// Reads all files of a folder. Their paths are relative to the template.
fn read_folder(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path: PathBuf = entry.expect("an entry").path();
        if path.is_dir() {
            read_folder(&path, files);
        } else {
            let name = path.strip_prefix(root().join("template")).expect("a path of the template");
            files.push((name.to_string_lossy().into_owned(), fs::read_to_string(&path).expect("a text")));
        }
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
