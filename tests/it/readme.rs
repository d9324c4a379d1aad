use std::{collections::BTreeSet, fs, path::Path, process::Command};

use thegiant::prelude::*;

use crate::support::{Folder, OutsideCrate, Process, RawClient, Reply, Served, code_blocks, line, root};

const README: &str = include_str!("../../README.md");

/// The texts whose links must lead to a file.
const TEXTS: [&str; 12] = [
    "README.md",
    "ARCHITECTURE.md",
    "DESIGN.md",
    "CONTRIBUTING.md",
    "RELEASING.md",
    "CHANGELOG.md",
    "GLOSSARY.md",
    "apps/balancer/README.md",
    "apps/collector/README.md",
    "apps/jobs/README.md",
    "apps/kv-disk/README.md",
    "apps/readthrough/README.md",
];

/// The file that a reader copies from the README is a file that is tested: the two cannot drift apart.
#[test]
fn each_program_of_the_readme_is_an_example() {
    let examples = examples();
    assert!(!code_blocks("rust").is_empty());
    for program in code_blocks("rust") {
        assert!(examples.contains(&program), "no examples/*/src/main.rs has this text:\n{program}");
    }
}

#[test]
fn each_program_of_the_readme_compiles_as_printed_outside_the_workspace() {
    let programs = code_blocks("rust").into_iter().enumerate();
    let files = programs.map(|(index, program)| (format!("src/bin/block_{index}.rs"), program));
    let output = OutsideCrate::new("readme", &[], files).check(&["--all-targets"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_readme_shows_no_lines_that_only_rustdoc_hides() {
    for program in code_blocks("rust") {
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
        let text_path = root().join(text);
        for link in links(&read(&text_path)) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let path = if file.is_empty() { text_path.clone() } else { text_path.with_file_name(file) };
            assert!(path.exists(), "{text} links to {link}");
            assert!(
                heading.is_empty() || anchors(&read(&path)).any(|anchor| anchor == heading),
                "{text}: {link}"
            );
        }
    }
}

#[test]
fn the_readmes_of_apps_show_the_real_output() {
    let folder = Folder::new();
    let database = format!("sqlite:{}", folder.path().join("entries.db").display());
    // A busy machine can take seconds for a query.
    let options = ["--database", &database, "--query-timeout", "60000"];
    check_consoles("readthrough", &Process::program_with("readthrough", &options));
    let servers = [(); 3].map(|()| Process::redis(&[]));
    check_consoles("balancer", &Process::program_with("balancer", &servers.each_ref().map(Process::address)));
}

/// Runs the commands in the consoles of an app's README, and compares their output.
fn check_consoles(app: &str, process: &Process) {
    let (_, port) = process.address().rsplit_once(':').expect("an address with a port");
    let readme = read(&root().join("apps").join(app).join("README.md"));
    let consoles = readme.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands: Vec<&str> = consoles.flat_map(|console| console.split("$ ").skip(1)).collect();
    assert!(!commands.is_empty(), "{app}");
    for (command, shown) in commands.iter().filter_map(|command| command.split_once('\n')) {
        let words = command.strip_prefix("redis-cli -p 6380 ").expect("a command for redis-cli").split(' ');
        let output = Command::new("redis-cli").args(["-p", port, "--no-raw"]).args(words).output();
        let output = String::from_utf8(output.expect("redis-cli can be run").stdout).expect("text");
        assert_eq!(output, shown, "{app}: {command}");
    }
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

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
