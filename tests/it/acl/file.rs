//! Files with users: `--aclfile`, `ACL LOAD`, `ACL SAVE`.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use crate::support::{ANY_PORT, Folder, Process, RawClient, binary, line};

const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

/// Starts `kv` with a file of users.
fn kv(folder: &Folder, users: &str) -> (Process, String) {
    let file = folder.path().join("users.acl").to_str().expect("text").to_owned();
    fs::write(&file, users).expect("the folder can be written to");
    (Process::program_with("kv", &["--aclfile", &file]), file)
}

#[test]
fn users_come_from_a_file_and_are_saved_there() {
    let folder = Folder::new();
    let (kv, file) = kv(&folder, "user alice on >secret ~a* +@all\n\nuser default off\n");
    let mut client = RawClient::connect(kv.address());
    assert_eq!(client.ask(line("PING")), "-NOAUTH Authentication required.\r\n");
    assert_eq!(client.ask(line("AUTH alice secret")), "+OK\r\n");
    assert_eq!(client.ask(line("ACL SETUSER bob on nopass +get ~*")), "+OK\r\n");
    assert_eq!(client.ask(line("ACL SAVE")), "+OK\r\n");
    let saved = fs::read_to_string(&file).expect("a file");
    assert_eq!(
        saved,
        format!(
            "user alice on #{HASH} ~a* resetchannels +@all\nuser bob on nopass ~* resetchannels -@all +get\n\
             user default off resetchannels -@all\n"
        )
    );
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(
        client.ask(line("CONFIG GET aclfile")),
        format!("*2\r\n$7\r\naclfile\r\n${}\r\n{file}\r\n", file.len())
    );
}

#[test]
fn a_reload_closes_the_clients_of_changed_users() {
    let folder = Folder::new();
    let (kv, file) =
        kv(&folder, "user alice on nopass +@all\nuser bob on nopass +@all\nuser carol on nopass +@all\n");
    let mut admin = RawClient::connect(kv.address());
    let mut clients = ["alice", "bob", "carol"].map(|user| {
        let mut client = RawClient::connect(kv.address());
        assert_eq!(client.ask(line(&format!("AUTH {user} x"))), "+OK\r\n");
        client
    });
    fs::write(&file, "user alice on nopass +@all\nuser bob on nopass +@all -get\nuser broken +nosuch\n")
        .expect("a file");
    let error = String::from_utf8_lossy(&admin.ask(line("ACL LOAD"))).into_owned();
    assert!(error.starts_with(&format!("-ERR {file}:3: Error in applying operation '+nosuch'")), "{error}");
    fs::write(&file, "user alice on nopass +@all\nuser bob on nopass +@all -get\n").expect("a file");
    assert_eq!(admin.ask(line("ACL LOAD")), "+OK\r\n");
    assert_eq!(clients[0].ask(line("PING")), "+PONG\r\n");
    for client in &mut clients[1..] {
        assert_eq!(client.rest(), "");
    }
    assert_eq!(admin.ask(line("ACL USERS")), "*3\r\n$5\r\nalice\r\n$3\r\nbob\r\n$7\r\ndefault\r\n");
}

/// A file that cannot be used ends the start with the reason.
#[test]
fn mistakes_in_the_file_end_the_start() {
    let folder = Folder::new();
    let file = folder.path().join("users.acl");
    let refusal = |more: &[&str]| {
        let mut command = Command::new(binary("kv"));
        command.args(["--bind", ANY_PORT, "--aclfile"]).arg(&file).args(more);
        let output = command.output().expect("it can be run");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(refusal(&[]).contains("No such file or directory"));
    fs::write(&file, "user alice on >secret +nosuch\n").expect("a file");
    let text = refusal(&[]);
    assert!(text.contains("Unknown command or category name in ACL") && !text.contains("secret"), "{text}");
    fs::write(&file, "user alice on nopass\n").expect("a file");
    assert!(refusal(&["--password", "x"]).contains("write all of them into the file"));
}
