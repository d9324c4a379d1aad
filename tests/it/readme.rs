use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use thegiant::prelude::*;

use crate::support::{RawClient, Reply, Served, line};

const README: &str = include_str!("../../README.md");

/// The texts whose links must lead to a file.
const TEXTS: [&str; 6] =
    ["README.md", "ARCHITECTURE.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md", "GLOSSARY.md"];

/// The file that a reader copies from the README is a file that is tested: the two cannot drift apart.
#[test]
fn each_program_of_the_readme_is_an_example() {
    let examples = examples();
    for program in blocks("rust") {
        assert!(examples.contains(&program), "no examples/*/src/main.rs has this text:\n{program}");
    }
}

#[test]
fn each_program_of_the_readme_compiles_as_printed_outside_the_workspace() {
    let folder = crate_outside_the_workspace();
    for (index, program) in blocks("rust").iter().enumerate() {
        write(&folder.join(format!("src/bin/block_{index}.rs")), program);
    }
    let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["check", "--quiet", "--offline", "--all-targets", "--profile", &profile(), "--target-dir"])
        .arg(target())
        .current_dir(&folder)
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_readme_shows_no_lines_that_only_rustdoc_hides() {
    for program in blocks("rust") {
        assert!(!program.lines().any(|line| line.trim_start().starts_with("# ")), "{program}");
    }
}

#[test]
fn the_readme_lists_the_builtin_commands() {
    let section = README.split("### Built-in commands").nth(1).and_then(|text| text.split("\n## ").next());
    let table = section.expect("a section").lines().filter(|line| line.starts_with('|'));
    let listed: BTreeSet<String> =
        table.flat_map(|row| row.split('`').skip(1).step_by(2)).map(str::to_ascii_lowercase).collect();

    let server = Served::start(App::new);
    let reply = RawClient::connect(server.address()).ask(line("COMMAND LIST"));
    let Some(Reply::Array(names)) = Reply::only(&reply) else { panic!("not an array: {reply:?}") };
    let names = names.iter().map(|name| match name {
        Reply::Bulk(name) => String::from_utf8_lossy(name).into_owned(),
        other => panic!("not a name: {other:?}"),
    });
    assert_eq!(listed, names.filter(|name| !name.contains('|')).collect());
}

#[test]
fn links_lead_to_files_and_headings() {
    for text in TEXTS {
        for link in links(&read(&root().join(text))) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let path = root().join(if file.is_empty() { text } else { file });
            assert!(path.exists(), "{text} links to {link}");
            assert!(
                heading.is_empty() || anchors(&read(&path)).any(|anchor| anchor == heading),
                "{text}: {link}"
            );
        }
    }
}

/// A crate with the dependencies that the README prints, and the versions of the workspace.
fn crate_outside_the_workspace() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
    // Programs of an earlier README.
    let _ = fs::remove_dir_all(folder.join("src"));
    let toolkit = format!("path = {:?}", root().join("thegiant"));
    let dependencies = blocks("toml").join("\n").replace("git = \"…\"", &toolkit);
    let package =
        "[package]\nname = \"readme\"\nedition = \"2024\"\n[lints.rust]\nwarnings = \"deny\"\n[workspace]\n";
    // The profile of the workspace, so that both share what is compiled.
    let workspace = read(&root().join("Cargo.toml"));
    let settings = workspace.split("[profile.ci]").nth(1).and_then(|rest| rest.split('[').next());
    let settings = settings.expect("the profile ci");
    write(&folder.join("Cargo.toml"), &format!("{package}{dependencies}\n[profile.ci]{settings}"));
    write(&folder.join("Cargo.lock"), &read(&root().join("Cargo.lock")));
    folder
}

/// The code blocks of the README in a language.
fn blocks(language: &str) -> Vec<String> {
    let blocks = README.split("```").skip(1).step_by(2);
    blocks
        .filter(|block| block.starts_with(language))
        .map(|block| without_first_line(block).to_owned())
        .collect()
}

/// The programs in `examples/`, without the comment at their top.
fn examples() -> Vec<String> {
    let folders = fs::read_dir(root().join("examples")).expect("a folder");
    folders
        .map(|folder| without_header(&read(&folder.expect("an entry").path().join("src/main.rs"))))
        .collect()
}

fn without_header(program: &str) -> String {
    let lines = program.lines().skip_while(|line| line.starts_with("//!") || line.is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}

fn without_first_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

/// The targets of links in Markdown, without those to other sites.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).filter(|target| !target.contains("://")).collect()
}

/// The anchors that GitHub makes of headings.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|heading| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The profile of this test binary.
fn profile() -> String {
    let test = env::current_exe().expect("this binary has a path");
    let folder = test.ancestors().nth(2).and_then(Path::file_name).expect("target/PROFILE/deps/NAME");
    // Cargo calls the folder of the profile `dev` so.
    if folder == "debug" { "dev".to_owned() } else { folder.to_string_lossy().into_owned() }
}

/// The target folder of this test binary, whose artefacts the crate outside the workspace shares.
fn target() -> PathBuf {
    let test = env::current_exe().expect("this binary has a path");
    test.ancestors().nth(3).expect("target/PROFILE/deps/NAME").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(path, text).expect("a file");
}
