//! Tests passwords from files and environment variables, which the process list does not show.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::support::{ANY_PORT, Folder, Process, RawClient, binary, line};

const SECRET: &str = "open-sesame";

/// Writes a file with this text and returns its path.
fn file(folder: &Folder, text: &str) -> String {
    let path: PathBuf = folder.path().join("secret");
    fs::write(&path, text).expect("the folder can be written to");
    path.to_str().expect("text").to_owned()
}

/// Starts an app with this environment variable, and with these options before its usual ones.
fn with_variable(app: &str, variable: &str, value: &str, options: &str) -> Process {
    let start = format!("export {variable}='{value}'; exec \"$0\" {options} \"$@\"");
    Process::program_started_by(&["sh", "-c", &start], app, ANY_PORT)
}

/// Runs an app that refuses to start, and returns its exit code and error text.
fn refusal(app: &str, variable: Option<(&str, &str)>, options: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(binary(app));
    command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).envs(variable);
    let output = command.output().expect("it can be run");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

fn assert_password_is_required_and_hidden(process: &Process) {
    assert!(!process.command_line().contains(SECRET), "{}", process.command_line());
    let mut client = RawClient::connect(process.address());
    assert_eq!(client.ask(line("PING")), "-NOAUTH Authentication required.\r\n");
    assert_eq!(client.ask(line(&format!("AUTH {SECRET}"))), "+OK\r\n");
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn the_password_for_clients_is_hidden() {
    let folder = Folder::new();
    for text in [SECRET.to_owned(), format!("{SECRET}\n")] {
        let file = file(&folder, &text);
        assert_password_is_required_and_hidden(&Process::program_with("kv", &["--password-file", &file]));
    }
    assert_password_is_required_and_hidden(&with_variable("kv", "THEGIANT_PASSWORD", SECRET, ""));
}

#[test]
fn the_password_for_upstreams_is_hidden() {
    let folder = Folder::new();
    let redis = Process::redis(&["--requirepass", SECRET]);
    let file = file(&folder, SECRET);
    let by_file = ["--server-password-file", &file, redis.address()];
    for balancer in [
        Process::program_with("balancer", &by_file),
        with_variable("balancer", "BALANCER_SERVER_PASSWORD", SECRET, redis.address()),
    ] {
        assert!(!balancer.command_line().contains(SECRET));
        assert_eq!(RawClient::connect(balancer.address()).ask(line("SET a 1")), "+OK\r\n");
    }
}

#[test]
fn the_database_url_is_hidden() {
    let folder = Folder::new();
    let url = format!("sqlite:{}", folder.path().join(SECRET).display());
    let file = file(&folder, &url);
    for readthrough in [
        Process::program_with("readthrough", &["--database-file", &file]),
        with_variable("readthrough", "DATABASE_URL", &url, ""),
    ] {
        assert!(!readthrough.command_line().contains(SECRET));
        assert_eq!(RawClient::connect(readthrough.address()).ask(line("SET a 1")), "+OK\r\n");
        assert!(folder.path().join(SECRET).exists());
    }
}

#[test]
fn giving_the_password_twice_is_an_error() {
    let folder = Folder::new();
    let file = file(&folder, SECRET);
    let (by_option, by_file) = (["--password", SECRET], ["--password-file", &file]);
    let variable = Some(("THEGIANT_PASSWORD", SECRET));
    let expected =
        "kv: --password is given twice: use one of --password, --password-file and THEGIANT_PASSWORD\n";
    for (variable, options) in
        [(None, &[by_option, by_file].concat()[..]), (variable, &by_option), (variable, &by_file)]
    {
        assert_eq!(refusal("kv", variable, options), (Some(2), expected.to_owned()), "{options:?}");
    }
}

#[test]
fn an_unreadable_password_is_reported_in_one_line() {
    let folder = Folder::new();
    let missing = folder.path().join("missing").display().to_string();
    let expected = format!("kv: --password-file {missing}: No such file or directory (os error 2)\n");
    assert_eq!(refusal("kv", None, &["--password-file", &missing]), (Some(1), expected));
    // An empty password would mean that the server requires none.
    let empty = file(&folder, "\n");
    let expected = format!("kv: --password-file {empty} is empty\n");
    assert_eq!(refusal("kv", None, &["--password-file", &empty]), (Some(2), expected));
    let expected = "kv: THEGIANT_PASSWORD is empty\n".to_owned();
    assert_eq!(refusal("kv", Some(("THEGIANT_PASSWORD", "")), &[]), (Some(2), expected));
}

#[test]
fn help_does_not_show_the_environment() {
    for (app, variable) in [
        ("kv", "THEGIANT_PASSWORD"),
        ("balancer", "BALANCER_SERVER_PASSWORD"),
        ("balancer", "BALANCER_SENTINEL_PASSWORD"),
        ("readthrough", "DATABASE_URL"),
    ] {
        let output = Command::new(binary(app)).arg("--help").env(variable, SECRET).output();
        let help = String::from_utf8(output.expect("it can be run").stdout).expect("text");
        assert!(help.contains(variable) && !help.contains(SECRET), "{help}");
    }
}
