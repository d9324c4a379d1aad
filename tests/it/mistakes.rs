use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{OutsideCrate, root};

/// Each mistake in `tests/mistakes` fails to compile with exactly the text in the file next to it.
///
/// With the variable `OVERWRITE`, the test writes these files.
#[test]
fn each_mistake_has_its_compile_error() {
    let mistakes = mistakes();
    // Examples have the dependencies of tests, too. So all crates outside the workspace share the same ones.
    let files = mistakes.iter().map(|path| (format!("examples/{}", file_name(path)), read(path)));
    let outside = OutsideCrate::new("mistakes", &["thegiant-client"], files);
    let output =
        outside.check(&["--examples", "--features=thegiant/json", "--keep-going", "--message-format=json"]);
    let errors = errors(&String::from_utf8_lossy(&output.stdout));
    assert!(!errors.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut wrong = Vec::new();
    for path in mistakes {
        let actual = errors.get(&file_name(&path)).cloned().unwrap_or_default();
        let path = path.with_extension("stderr");
        if env::var_os("OVERWRITE").is_some() {
            fs::write(&path, &actual).expect("a file");
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        // A mistake that compiles has no errors.
        if actual.is_empty() || actual != expected {
            wrong.push(format!("{}\nexpected:\n{expected}\nactual:\n{actual}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn mistakes() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/mistakes")).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Returns the errors and warnings of each file, from the messages of Cargo.
fn errors(messages: &str) -> BTreeMap<String, String> {
    let mut errors = BTreeMap::<_, Vec<_>>::new();
    for message in messages.lines() {
        let message: Value = serde_json::from_str(message).expect("JSON");
        let (message, file) = (&message["message"], &message["target"]["src_path"]);
        // The summary of the errors has no place.
        let has_place = message["spans"].as_array().is_some_and(|spans| !spans.is_empty());
        if let (true, Some(file), Some(text)) = (has_place, file.as_str(), message["rendered"].as_str()) {
            let root = root().to_str().expect("text");
            let text = text.replace("examples/", "mistakes/").replace(root, "$WORKSPACE");
            let text = without_path_of_registry(&text);
            errors.entry(file_name(Path::new(file))).or_default().push(without_numbers_of_other_files(&text));
        }
    }
    errors.into_iter().map(|(file, errors)| (file, errors.join("\n"))).collect()
}

/// Replaces the path of the folder that has the sources of other crates.
fn without_path_of_registry(text: &str) -> String {
    let lines = text.lines().map(|line| match (line.find(" /"), line.find("/registry/src/")) {
        (Some(start), Some(end)) => {
            let file = line[end + "/registry/src/".len()..].split_once('/').map_or("", |(_, file)| file);
            format!("{} $REGISTRY/{file}\n", &line[..start])
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// Removes what changes with the code of other files: its line numbers, their share of the margin, and how many other
/// types there are.
fn without_numbers_of_other_files(text: &str) -> String {
    let (mut margin, mut own_margin, mut is_of_other_file) = (0, 0, false);
    let mut lines = Vec::new();
    for line in text.trim_end().lines() {
        let content = line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
        let (before, content) = line.split_at(line.len() - content.len());
        let number = before.trim();
        // A new note.
        if before.is_empty() && content != "..." {
            is_of_other_file = false;
        }
        margin = margin.max(number.len());
        lines.push(if let Some(place) = content.strip_prefix("--> ").or(content.strip_prefix("::: ")) {
            is_of_other_file = place.starts_with("$WORKSPACE") || place.starts_with("$REGISTRY");
            let end = if is_of_other_file { content.find(".rs:").map(|at| at + ".rs".len()) } else { None };
            [before, &content[..end.unwrap_or(content.len())]].concat()
        } else if content.starts_with("and ") && content.ends_with(" others") {
            [before, "and $N others"].concat()
        } else if is_of_other_file {
            " ".repeat(before.len()) + content
        } else {
            own_margin = own_margin.max(number.len());
            line.to_owned()
        });
    }
    let excess = " ".repeat(margin - own_margin);
    lines.iter().map(|line| format!("{}\n", line.strip_prefix(&excess).unwrap_or(line))).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
