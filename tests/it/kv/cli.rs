//! The command line of the apps.

use std::process::{Command, Output, Stdio};

use crate::support::{Folder, Process, RawClient, binary, line, request};

fn run(name: &str, args: &[&str]) -> Output {
    Command::new(binary(name)).args(args).stdin(Stdio::null()).output().expect("the program can be started")
}

/// Runs `kv` with wrong options. Returns the exit code, and the single line of error output.
fn refusal(args: &[&str]) -> (Option<i32>, String) {
    let output = run("kv", args);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{args:?}");
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(error.lines().count(), 1, "{error}");
    (output.status.code(), error)
}

#[test]
fn kv_listens_on_all_its_addresses() {
    let folder = Folder::new();
    let socket = folder.socket("kv.sock");
    let kv = Process::program_on("kv", &["127.0.0.1:0", &socket, "[::1]:0"]);
    let [v4, unix, v6] = kv.addresses() else { panic!("{:?}", kv.addresses()) };
    assert_eq!(unix, &socket);
    RawClient::connect(v4).ask(line("SET k v"));
    for address in [unix, v6] {
        assert_eq!(RawClient::connect(address).ask(line("GET k")), "$1\r\nv\r\n", "{address}");
    }
    kv.signal("TERM");
    assert!(kv.wait().success());
    assert!(RawClient::try_connect(&socket).is_err(), "the socket file is gone");
}

#[test]
fn a_wrong_command_line_is_refused() {
    for (args, text) in [
        (&["--bnid", "x"][..], "'--bnid'"),
        (&["-p"], "'-p'"),
        (&["6380"], "'6380'"),
        (&["--bind"], "'--bind <ADDR>'"),
        (&["--password"], "'--password <PASSWORD>'"),
    ] {
        let output = run("kv", args);
        let error = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {error}");
        let first = error.lines().next().unwrap_or_default();
        assert!(first.starts_with("error: ") && first.contains(text), "{args:?}: {error}");
    }
    for (args, text) in [
        (&["--bind", "nonsense"][..], "nonsense"),
        (&["--bind=127.0.0.1:99999"], "127.0.0.1:99999"),
        (&["--password", ""], "--password is empty"),
    ] {
        let (code, error) = refusal(args);
        assert_eq!(code, Some(2), "{args:?}: {error}");
        assert!(error.starts_with("kv: ") && error.contains(text), "{args:?}: {error}");
    }
}

#[test]
fn kv_requires_its_password() {
    let kv = Process::program_like_redis("kv", &["--password", "open sesame"]);
    let mut client = RawClient::connect(kv.address());
    assert_eq!(client.ask(line("GET k")), "-NOAUTH Authentication required.\r\n");
    assert_eq!(client.ask(request(["AUTH", "open sesame"])), "+OK\r\n");
    assert_eq!(client.ask(line("GET k")), "$-1\r\n");
}

#[test]
fn the_error_names_the_address_that_is_in_use() {
    let kv = Process::program("kv");
    let (code, error) = refusal(&["--bind=127.0.0.1:0", "--bind", kv.address()]);
    assert_eq!(code, Some(1));
    assert!(error.contains(kv.address()) && error.contains("in use"), "{error}");
}

#[test]
fn help_and_version_succeed() {
    for (app, option) in [
        ("kv", "--password-file <FILE>"),
        ("kv", "--tls-cert <FILE>"),
        ("kv-disk", "--durability <WHEN>"),
        ("collector", "--max-age <TIME>"),
        ("readthrough", "--query-timeout <MS>"),
        ("balancer", "--no-eject"),
        ("jobs", "Commands:\n  top "),
    ] {
        for flag in ["--help", "-h"] {
            let output = run(app, &[flag]);
            assert!(output.status.success() && output.stderr.is_empty());
            let help = String::from_utf8(output.stdout).expect("text");
            assert!(help.contains("--bind <ADDR>") && help.contains(option), "{app}: {help}");
        }
        let version = run(app, &["--version"]);
        assert!(version.status.success());
        assert_eq!(version.stdout, format!("{app} {}\n", env!("CARGO_PKG_VERSION")).into_bytes());
    }
}

#[test]
fn the_hello_example_replies_from_a_fallback_function() {
    let hello = Process::program("hello");
    let mut client = RawClient::connect(hello.address());
    assert_eq!(client.ask(line("GET k")), "$-1\r\n");
    assert_eq!(client.ask(line("set k v")), "+OK\r\n");
    assert_eq!(client.ask(line("GET k")), "$1\r\nv\r\n");
    let address = client.local_address();
    assert_eq!(client.ask(line("WHOAMI")), format!("${}\r\n{address}\r\n", address.len()));
    assert_eq!(client.ask(line("GET")), "-ERR unknown command 'GET', with args beginning with: \r\n");
}
