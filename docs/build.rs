//! Writes the programs of the guide into a file of modules, which `tests/guide.rs` compiles and runs.
//!
//! Each code block with the language `rust` is a module. A block with `rust,more` is a module inside of the one before it. If a
//! program has a function `app`, its module also has a function `served`, which the test calls.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src");
    let mut chapters: Vec<PathBuf> =
        fs::read_dir("src")?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    chapters.sort();
    let (mut modules, mut table) = (String::new(), String::new());
    for chapter in &chapters {
        for program in programs(&fs::read_to_string(chapter)?) {
            let Program { line, code } = program;
            let name = format!("{}_line_{line}", stem(chapter).replace('-', "_"));
            let served = served(&code);
            if served.is_some() {
                table += &format!("    ({:?}, {line}, {name}::served),\n", stem(chapter));
            }
            let served = served.unwrap_or_default();
            modules += &format!(
                "#[allow(dead_code, unreachable_pub, unused_imports)]\nmod {name} {{\n{served}{code}}}\n\n"
            );
        }
    }
    // The chapter and the line of each program, and its application.
    let table = format!("const PROGRAMS: &[(&str, usize, Served)] = &[\n{table}];\n");
    let folder = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    fs::write(folder.join("programs.rs"), modules + &table)
}

struct Program {
    /// The line of its first block in the chapter.
    line: usize,
    code: String,
}

fn programs(chapter: &str) -> Vec<Program> {
    let mut programs: Vec<Program> = Vec::new();
    let mut lines = chapter.lines().enumerate();
    while let Some((index, fence)) = lines.next() {
        if fence != "```rust" && fence != "```rust,more" {
            continue;
        }
        let code = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        let code: String = code.map(|line| format!("{line}\n")).collect();
        let line = index + 1;
        match programs.last_mut() {
            Some(program) if fence == "```rust,more" => {
                // Another module: it may have a `main`, too.
                program.code += &format!("mod more_{line} {{\nuse super::*;\n{code}}}\n");
            }
            _ => programs.push(Program { line, code }),
        }
    }
    programs
}

/// A function of one form for applications that need nothing, a server to connect to, or a file.
fn served(code: &str) -> Option<String> {
    let application = if code.contains("fn app() -> App {") {
        "app()"
    } else if code.contains("fn app(redis: &str) -> App {") {
        "app(_environment.redis)"
    } else if code.contains("fn app(path: &Path) -> io::Result<App> {") {
        "app(_environment.path).expect(\"an application\")"
    } else {
        return None;
    };
    Some(format!(
        "pub(super) fn served(_environment: super::Environment<'_>) -> thegiant::App {{ {application} }}\n"
    ))
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
