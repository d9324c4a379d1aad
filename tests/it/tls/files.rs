//! Errors for unusable files, and for addresses without TLS. Each error is one line with the path and the reason.

use std::{fs, io::ErrorKind};

use thegiant::{App, AuthClients, CertificateUser, ClientTls, Server, ServerTls, proxy::Upstream};

use super::authority::{Authority, Identity};
use crate::support::{ANY_PORT, Folder, Served, app};

/// Returns the error of a server with these settings.
fn refusal(tls: ServerTls) -> String {
    let error = Server::new(App::new()).bind_tls(ANY_PORT, tls).expect_err("the settings are unusable");
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn unusable_files_of_a_server_are_errors() {
    let authority = Authority::new();
    let Identity { certificate, key } = authority.issue("localhost");
    let other = authority.issue("localhost").key;
    let file = |name: &str, text: &str| authority.file(name, text);
    let (empty, nonsense) =
        (file("empty", ""), file("nonsense", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"));
    let pem = fs::read_to_string(&certificate).expect("the file exists");
    let half = file("half", &pem[..pem.len() / 2]);
    let encrypted = file(
        "encrypted",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let wrong = file("wrong", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    let wrong_key = file("wrong.key", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n");
    for (certificate, key, kind, path, reason) in [
        ("/nowhere.crt", &*key, "certificate", "/nowhere.crt", "No such file"),
        (&certificate, "/nowhere.key", "key", "/nowhere.key", "No such file"),
        (&empty, &key, "certificate", &empty, "no PEM certificate in the file"),
        (&key, &key, "certificate", &key, "no PEM certificate in the file"),
        (&nonsense, &key, "certificate", &nonsense, "the file is not valid PEM"),
        (&half, &key, "certificate", &half, "the file is truncated"),
        (&certificate, &empty, "key", &empty, "no unencrypted PEM key in the file"),
        (&certificate, &encrypted, "key", &encrypted, "no unencrypted PEM key in the file"),
        (
            &certificate,
            &other,
            "key",
            &other,
            &format!("it does not belong to the certificate {certificate}"),
        ),
        (&wrong, &key, "certificate", &wrong, "BadEncoding"),
        (&certificate, &wrong_key, "key", &wrong_key, ""),
    ] {
        let error = refusal(ServerTls::new(certificate, key));
        assert!(error.starts_with(&format!("cannot use the {kind} {path}: ")), "{error}");
        assert!(error.contains(reason), "{error}");
    }
    for (ca, reason) in [
        ("/nowhere.crt", "No such file"),
        (&*empty, "no PEM certificate in the file"),
        (&wrong, "BadEncoding"),
    ] {
        let error = refusal(ServerTls::new(&certificate, &key).client_ca(ca));
        assert!(
            error.starts_with(&format!("cannot use the certificate {ca}: ")) && error.contains(reason),
            "{error}"
        );
    }
}

#[test]
fn unusable_files_of_a_client_are_errors() {
    let authority = Authority::new();
    let Identity { certificate, key } = authority.issue("somebody");
    let tls = |address: &str, tls: ClientTls| {
        let error = Upstream::new(address).tls(tls).expect_err("the settings are unusable");
        let text = error.to_string();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    };
    let error = tls("localhost:1", ClientTls::new().ca("/nowhere.crt"));
    assert!(error.starts_with("cannot use the certificate /nowhere.crt: No such file"), "{error}");
    let error =
        tls("localhost:1", ClientTls::new().ca(&authority.ca).certificate(&certificate, &certificate));
    assert!(error.starts_with(&format!("cannot use the key {certificate}: no unencrypted")), "{error}");
    let error = tls("localhost:1", ClientTls::new().ca(&authority.ca).server_name("no name"));
    assert_eq!(error, "\"no name\" is not a valid TLS server name: use a host name or an IP address");
    let error = tls("unix:/run/redis.sock", ClientTls::new().ca(&authority.ca));
    assert_eq!(error, "cannot use TLS with unix:/run/redis.sock: TLS needs an address of the form HOST:PORT");
    for address in ["localhost:1", "10.0.0.7:1", "[::1]:1"] {
        let tls = ClientTls::new().ca(&authority.ca).certificate(&certificate, &key);
        assert!(Upstream::new(address).tls(tls).is_ok(), "{address}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_errors() {
    let authority = Authority::new();
    let Identity { certificate, key } = authority.issue("localhost");
    let tls = || ServerTls::new(&certificate, &key);
    assert_eq!(
        refusal(tls().protocols([])),
        "a server needs a version of TLS: name at least one in `protocols`"
    );
    assert_eq!(
        refusal(tls().auth_clients(AuthClients::Optional)),
        "`auth_clients` needs `client_ca`: name the authority of the clients' certificates"
    );
    for tls in [tls(), tls().client_ca(&authority.ca).auth_clients(AuthClients::No)] {
        assert_eq!(
            refusal(tls.user_from(CertificateUser::Uri)),
            "`user_from` needs `client_ca`, and `auth_clients` other than `No`: otherwise, clients send no certificate"
        );
    }
    let error = refusal(tls().add_certificate("/nowhere.crt", &key));
    assert!(error.starts_with("cannot use the certificate /nowhere.crt: "), "{error}");
}

#[test]
fn addresses_without_tls_are_errors() {
    let authority = Authority::new();
    let Identity { certificate, key } = authority.issue("localhost");
    let tls = ServerTls::new(certificate, key);
    let bind = |address: &str| {
        Server::new(App::new())
            .bind_tls(address, tls.clone())
            .expect_err("a server cannot listen on this address")
    };
    let folder = Folder::new();
    let address = folder.socket("app.sock");
    let error = bind(&address);
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with(&format!("cannot listen on {address} with TLS")), "{error}");
    assert_eq!(bind("nonsense").kind(), ErrorKind::InvalidInput);
    let served = Served::start(app);
    assert_eq!(bind(served.address()).kind(), ErrorKind::AddrInUse);
}
