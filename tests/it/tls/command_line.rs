//! The options of the apps.

use std::process::{Command, Stdio};

use super::{
    authority::{Authority, Identity},
    client::TlsClient,
};
use crate::support::{ANY_PORT, Folder, Process, RawClient, binary, line};

#[test]
fn an_example_speaks_tls() {
    let authority = Authority::new();
    let Identity { certificate, key } = authority.issue("localhost");
    let folder = Folder::new();
    let socket = folder.socket("kv.sock");
    let options = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-ca", &authority.ca];
    let kv = Process::program_with_on("kv", &options, &[ANY_PORT, &socket]);
    let [address, unix] = kv.addresses() else { panic!("{:?}", kv.addresses()) };
    let somebody = authority.issue("somebody");
    let mut client = TlsClient::try_connect(address, &authority, Some(&somebody)).expect("it is known");
    assert_eq!(client.ask(line("SET a 1")), "+OK\r\n");
    TlsClient::try_connect(address, &authority, None)
        .and_then(|mut nobody| nobody.try_ask(line("GET a")))
        .expect_err("it has no certificate");
    // Nobody else is at a unix socket.
    assert_eq!(RawClient::connect(unix).ask(line("GET a")), "$1\r\n1\r\n");
}

#[test]
fn a_certificate_has_a_key() {
    for (options, missing) in [
        (["--tls-cert", "a"], "--tls-key"),
        (["--tls-key", "a"], "--tls-cert"),
        (["--tls-ca", "a"], "--tls-cert"),
    ] {
        let output = Command::new(binary("kv")).args(options).stdin(Stdio::null()).output();
        let output = output.expect("it can be run");
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(said.contains("required arguments were not provided:\n"), "{said}");
        assert!(said.contains(&format!("\n  {missing} <FILE>\n")), "{said}");
    }
}
