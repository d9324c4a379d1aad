//! Compiles the programs of the guide, runs their tests, and compares the sessions that the chapters show with the output of
//! redis-cli.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use actix::Actor;
use kv::{Memory, Store};
use thegiant::{App, Server, ServerHandle};

include!(concat!(env!("OUT_DIR"), "/programs.rs"));

/// Things that applications of the guide may need.
#[derive(Clone, Copy)]
struct Environment<'a> {
    /// The address of a server in place of Redis.
    redis: &'a str,
    /// A file that does not exist yet.
    path: &'a Path,
}

type Served = fn(Environment<'_>) -> App;

/// Each session in a chapter shows what the program before it replies.
///
/// With the variable `OVERWRITE`, the test writes the replies into the chapters.
#[test]
fn the_sessions_of_the_guide_show_the_real_output() {
    let mut wrong = Vec::new();
    let chapters: BTreeMap<_, _> = chapters().into_iter().map(|path| (stem(&path), path)).collect();
    for (chapter, path) in &chapters {
        let programs: Vec<_> = PROGRAMS.iter().filter(|(of, ..)| of == chapter).collect();
        let shown = fs::read_to_string(path).expect("a chapter");
        let actual = with_real_output(&shown, &programs);
        if env::var_os("OVERWRITE").is_some() {
            fs::write(path, &actual).expect("a chapter");
        } else if actual != shown {
            let lines = actual.lines().zip(shown.lines()).filter(|(actual, shown)| actual != shown);
            wrong.push(format!("{}: {:?}", path.display(), lines.take(3).collect::<Vec<_>>()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_of_contents_has_all_chapters() {
    let summary = fs::read_to_string(folder().join("SUMMARY.md")).expect("a table of contents");
    for path in chapters() {
        let name = path.file_name().expect("a name").to_string_lossy();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name}");
    }
}

/// The build script takes these blocks only. A foreign program has `rust,ignore`.
#[test]
fn each_rust_program_is_compiled() {
    for path in chapters() {
        let text = fs::read_to_string(&path).expect("a chapter");
        for fence in text.lines().filter(|line| line.trim_start().starts_with("```rust")) {
            assert!(
                ["```rust", "```rust,more", "```rust,ignore"].contains(&fence),
                "{}: {fence}",
                path.display()
            );
        }
        let foreign = text.lines().filter(|line| *line == "```rust,ignore").count();
        assert!(foreign == 0 || path.ends_with("from-modules.md"), "{}", path.display());
    }
}

#[test]
fn links_lead_to_chapters_and_headings() {
    let mut count = 0;
    for path in chapters() {
        let text = fs::read_to_string(&path).expect("a chapter");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        for (link, _) in links.filter(|(link, _)| !link.contains("://")) {
            count += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let target = fs::read_to_string(&target).unwrap_or_else(|_| panic!("{}: {link}", path.display()));
            let mut anchors = target.lines().filter(|line| line.starts_with('#')).map(anchor);
            assert!(
                heading.is_empty() || anchors.any(|anchor| anchor == heading),
                "{}: {link}",
                path.display()
            );
        }
    }
    assert!(count > 0);
}

#[test]
fn each_chapter_with_a_session_has_a_program() {
    assert!(!PROGRAMS.is_empty());
    for path in chapters() {
        let text = fs::read_to_string(&path).expect("a chapter");
        let has_program = PROGRAMS.iter().any(|(chapter, ..)| *chapter == stem(&path));
        assert!(has_program || !text.contains("```console"), "{}", path.display());
    }
}

/// Each chapter with a program shows the lines of `Cargo.toml` for the crates that its programs use.
#[test]
fn each_program_has_its_dependencies() {
    let crates = [
        "serde",
        "thegiant",
        "thegiant_client",
        "thegiant_cluster",
        "thiserror",
        "tokio",
        "tracing",
        "tracing_subscriber",
    ];
    for path in chapters() {
        let text = fs::read_to_string(&path).expect("a chapter");
        let blocks = |fence: &'static str| {
            let blocks =
                text.split("```").skip(1).step_by(2).filter_map(move |block| block.strip_prefix(fence));
            blocks.collect::<String>()
        };
        let (programs, manifest) = (blocks("rust\n") + &blocks("rust,more\n"), blocks("toml\n"));
        for name in crates {
            let path_of = format!("{name}::");
            let is_used = programs.match_indices(&path_of).any(|(at, _)| {
                !programs[..at].ends_with(|before: char| before.is_alphanumeric() || "_:".contains(before))
            });
            let line = format!("\n{} = ", name.replace('_', "-"));
            assert!(!is_used || manifest.contains(&line), "{}: {name}", path.display());
        }
    }
}

/// Returns a chapter in which the sessions have the replies of its programs.
fn with_real_output(chapter: &str, programs: &[&(&str, usize, Served)]) -> String {
    let mut running: Option<(usize, Running)> = None;
    let (mut text, mut lines) = (String::new(), chapter.lines().enumerate());
    while let Some((index, line)) = lines.next() {
        text += &format!("{line}\n");
        if line != "```console" {
            continue;
        }
        let session: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        let (_, start, served) = programs.iter().rfind(|(_, start, _)| *start <= index).expect("a program");
        if running.as_ref().is_none_or(|(running, _)| running != start) {
            running = Some((*start, Running::start(*served)));
        }
        let (_, servers) = running.as_ref().expect("it runs");
        text += &servers.session(&session);
        text += "```\n";
    }
    text
}

/// A program of the guide, and a server in place of its Redis.
struct Running {
    redis: Thread,
    server: Thread,
    path: PathBuf,
}

/// A server on a thread.
struct Thread {
    port: String,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(served: Served) -> Self {
        let redis = Thread::start(|| {
            let app = App::new();
            let store = Store::new(Memory::new(app.keyspace(), Arc::default()));
            app.mount(store.start())
        });
        let path = env::temp_dir().join(format!("guide-{}-{}", process::id(), redis.port));
        let (address, file) = (format!("127.0.0.1:{}", redis.port), path.clone());
        let server = Thread::start(move || served(Environment { redis: &address, path: &file }));
        Running { redis, server, path }
    }

    /// Returns a session with the replies to its commands.
    fn session(&self, shown: &[&str]) -> String {
        let mut text = String::new();
        let mut commands = shown.iter().filter(|line| is_command(line)).peekable();
        while let Some(command) = commands.next() {
            text += &format!("{command}\n");
            let mut prompts = Vec::new();
            while let Some(prompt) = commands.next_if(|line| line.starts_with(PROMPT)) {
                prompts.push(*prompt);
            }
            let arguments = command.strip_prefix("$ redis-cli").expect("redis-cli");
            let arguments = arguments
                .replace("-p 6379", &format!("-p {} --no-raw", self.redis.port))
                .replace("-p 6380", &format!("-p {} --no-raw", self.server.port));
            // redis-cli replies to an unknown preference itself, so these lines divide its output.
            let input = prompts.iter().filter_map(|prompt| Some(prompt.split_once("> ")?.1));
            let input: String = input.map(|command| format!("{command}\n:set end\n")).collect();
            let output = redis_cli(&arguments, &input);
            if prompts.is_empty() {
                text += &output;
            }
            for (prompt, output) in prompts.iter().zip(output.split("unknown redis-cli preference 'end'\n")) {
                text += &format!("{prompt}\n{output}");
            }
        }
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A program may have stored nothing.
        let _ = fs::remove_file(&self.path);
    }
}

const PROMPT: &str = "127.0.0.1:6380";

fn is_command(line: &str) -> bool {
    line.starts_with("$ ") || line.starts_with(PROMPT)
}

fn redis_cli(arguments: &str, input: &str) -> String {
    use std::io::Write;

    let mut child = Command::new("sh")
        .args(["-c", &format!("exec redis-cli {arguments}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-cli can be run");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("output");
    let text = String::from_utf8(output.stdout).expect("text");
    // redis-cli puts an empty line behind an error, and GitHub shows it.
    let mut lines: Vec<&str> = text.lines().collect();
    lines.retain(|line| !line.is_empty() && !is_duration(line));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Returns whether redis-cli says here how long a slow command took, such as `(0.52s)`.
fn is_duration(line: &str) -> bool {
    let seconds = line.strip_prefix('(').and_then(|rest| rest.strip_suffix("s)"));
    seconds.is_some_and(|seconds| seconds.parse::<f64>().is_ok())
}

impl Thread {
    fn start(app: impl FnOnce() -> App + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            actix::System::new().block_on(async {
                let server = Server::new(app).bind("127.0.0.1:0").expect("a free port").disable_signals();
                let port = server.addrs()[0].port().expect("a port").to_string();
                sender.send((port, server.handle())).expect("sent");
                server.run().await.expect("a graceful stop");
            });
        });
        let (port, handle) = receiver.recv().expect("it starts");
        Thread { port, handle, thread: Some(thread) }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("a server of the guide has failed");
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of the guide.
fn chapters() -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder()).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// The anchor that mdBook makes of a heading.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}
