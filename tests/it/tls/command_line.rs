//! The TLS options of the apps.

use std::process::{Command, Stdio};

use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::{
    authority::{Authority, Identity},
    client::{TlsClient, client_config},
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
fn kv_takes_versions_of_tls_and_users_from_certificates() {
    let authority = Authority::new();
    let Identity { certificate, key } = authority.issue("localhost");
    let options = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-ca", &authority.ca];
    let more = [
        "--tls-protocols",
        "TLSv1.2 TLSv1.3",
        "--tls-auth-clients-user",
        "CN",
        "--tls-auth-clients",
        "optional",
    ];
    let kv = Process::program_with("kv", &[&options[..], &more].concat());
    let mut client =
        TlsClient::try_connect(kv.address(), &authority, Some(&authority.issue_named("default", [])))
            .expect("the server accepts the certificate");
    assert_eq!(client.ask(line("ACL SETUSER worker on +acl|whoami")), "+OK\r\n");
    let worker = authority.issue_named("worker", []);
    let mut client = TlsClient::try_connect(kv.address(), &authority, Some(&worker))
        .expect("the server accepts the certificate");
    assert_eq!(client.ask(line("ACL WHOAMI")), "$6\r\nworker\r\n");
    let mut client = TlsClient::connect(kv.address(), &authority);
    assert_eq!(client.ask(line("ACL WHOAMI")), "$7\r\ndefault\r\n");

    let kv = Process::program_with("kv", &[&options[..], &["--tls-protocols", "TLSv1.3"]].concat());
    for (versions, is_served) in [([&TLS12], false), ([&TLS13], true)] {
        let config = client_config(&authority, Some(&worker), &versions);
        let reply = TlsClient::connect_with(kv.address(), "localhost", &config)
            .and_then(|mut client| client.try_ask(line("PING")));
        assert_eq!(reply.is_ok(), is_served);
    }
}

#[test]
fn mistakes_in_tls_options_are_errors() {
    for (option, value, reason) in [
        ("--tls-protocols", "TLSv1.1", "use TLSv1.2 or TLSv1.3"),
        ("--tls-auth-clients", "maybe", "use no, yes or optional"),
        ("--tls-auth-clients-user", "EMAIL", "use CN, URI or DNS"),
    ] {
        let output = Command::new(binary("kv")).args([option, value]).stdin(Stdio::null()).output();
        let output = output.expect("kv can be started");
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn tls_options_require_each_other() {
    for (options, missing) in [
        (["--tls-cert", "a"], "--tls-key"),
        (["--tls-key", "a"], "--tls-cert"),
        (["--tls-ca", "a"], "--tls-cert"),
        (["--tls-protocols", "TLSv1.3"], "--tls-cert"),
        (["--tls-auth-clients", "optional"], "--tls-ca"),
        (["--tls-auth-clients-user", "CN"], "--tls-ca"),
    ] {
        let output = Command::new(binary("kv")).args(options).stdin(Stdio::null()).output();
        let output = output.expect("kv can be started");
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(error.contains("required arguments were not provided:\n"), "{error}");
        assert!(error.contains(&format!("\n  {missing} <FILE>\n")), "{error}");
    }
}
