//! The TLS options of the apps.

use std::process::{Command, Stdio};

use super::{
    authority::{Authority, Identity},
    client::TlsClient,
};
use crate::support::{ANY_PORT, Folder, Process, RawClient, binary, line};

#[test]
fn kv_serves_tls_clients_with_a_certificate() {
    let authority = Authority::new();
    let Identity { certificate, key } = authority.issue("localhost");
    let folder = Folder::new();
    let socket = folder.socket("kv.sock");
    let options = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-ca", &authority.ca];
    let kv = Process::program_with_on("kv", &options, &[ANY_PORT, &socket]);
    let [address, unix] = kv.addresses() else { panic!("{:?}", kv.addresses()) };
    let known = authority.issue("somebody");
    let mut client = TlsClient::try_connect(address, &authority, Some(&known))
        .expect("the server accepts the certificate");
    assert_eq!(client.ask(line("SET a 1")), "+OK\r\n");
    TlsClient::try_connect(address, &authority, None)
        .and_then(|mut unknown| unknown.try_ask(line("GET a")))
        .expect_err("the client has no certificate");
    // A unix socket has no TLS.
    assert_eq!(RawClient::connect(unix).ask(line("GET a")), "$1\r\n1\r\n");
}

#[test]
fn tls_options_require_each_other() {
    for (options, missing) in [
        (["--tls-cert", "a"], "--tls-key"),
        (["--tls-key", "a"], "--tls-cert"),
        (["--tls-ca", "a"], "--tls-cert"),
    ] {
        let output = Command::new(binary("kv")).args(options).stdin(Stdio::null()).output();
        let output = output.expect("kv can be started");
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(error.contains("required arguments were not provided:\n"), "{error}");
        assert!(error.contains(&format!("\n  {missing} <FILE>\n")), "{error}");
    }
}
