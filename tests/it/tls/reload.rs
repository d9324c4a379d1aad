//! Certificates and settings change while the server runs.

use std::fs;

use thegiant::{Server, ServerTls, prelude::*};
use tokio_rustls::rustls::HandshakeKind;
use tracing::Level;

use super::{
    authority::{Authority, Identity},
    client::{ALL_VERSIONS, TlsClient, client_config},
    listener::serve,
};
use crate::support::{ANY_PORT, Log, Process, RawClient, Served, app, eventually, info, line, request};

const FAILED: &str = "-ERR CONFIG SET failed (possibly related to argument 'tls-cert-file') - Unable to update TLS \
                      configuration. Check server logs.\r\n";

/// Returns the value of a setting.
fn setting(client: &mut RawClient, name: &str) -> String {
    let reply = client.ask(line(&format!("CONFIG GET {name}")));
    let reply = String::from_utf8(reply.to_vec()).expect("text");
    reply.split("\r\n").nth(4).unwrap_or_default().to_owned()
}

/// As clients of a cluster have them: nobody may notice the reload.
#[test]
fn a_thousand_connections_stay_open() {
    let authority = Authority::new();
    let [old, new, newest] = [(); 3].map(|()| authority.issue("localhost"));
    let files = authority.copy_of(&old);
    let served = serve(app, files.clone(), |server, tls| (server, tls));
    let config = client_config(&authority, None, ALL_VERSIONS);
    let connect = || {
        TlsClient::connect_with(served.address(), "localhost", &config)
            .expect("the server accepts the client")
    };
    let mut clients: Vec<_> = (0..1000).map(|_| connect()).collect();
    let [first, .., last] = &mut clients[..] else { unreachable!() };
    for client in [first, last] {
        assert!(client.sees(&old));
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    }
    let mut observer = RawClient::connect(&served.addresses()[1]);

    files.become_like(&new);
    served.handle().reload_tls().expect("the files are usable");
    assert!(connect().sees(&new));

    files.become_like(&newest);
    // As in Redis: a setting that stays the same reads its file again.
    let request = request(["CONFIG", "SET", "tls-cert-file", &files.certificate, "tls-key-file", &files.key]);
    assert_eq!(observer.ask(&request), "+OK\r\n");
    assert!(connect().sees(&newest));

    for client in &mut clients {
        assert!(client.sees(&old));
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    }
    eventually(|| (info(&mut observer, "clients").number("connected_clients") == 1001).then_some(()));
}

#[test]
fn sighup_reloads_the_files() {
    let authority = Authority::new();
    let [old, new] = [(); 2].map(|()| authority.issue("localhost"));
    let files = authority.copy_of(&old);
    let kv = Process::program_with("kv", &["--tls-cert", &files.certificate, "--tls-key", &files.key]);
    let mut client = TlsClient::connect(kv.address(), &authority);
    assert!(client.sees(&old));
    files.become_like(&new);
    kv.signal("HUP");
    eventually(|| TlsClient::connect(kv.address(), &authority).sees(&new).then_some(()));
    // A file that cannot be used changes nothing, and ends nothing.
    fs::write(&files.key, "nonsense").expect("the file can be written");
    kv.signal("HUP");
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    assert!(TlsClient::connect(kv.address(), &authority).sees(&new));
}

#[test]
fn files_that_cannot_be_used_change_nothing() {
    let authority = Authority::new();
    let [old, new] = [(); 2].map(|()| authority.issue("localhost"));
    let files = authority.copy_of(&old);
    let (identity, ca) = (files.clone(), authority.ca.clone());
    // Two listeners: the files of the first are usable, but it must not change alone.
    let served = Served::with(app, move |server| {
        let tls = || ServerTls::new(&identity.certificate, &identity.key);
        server.bind(ANY_PORT)?.bind_tls(ANY_PORT, tls())?.bind_tls(ANY_PORT, tls().client_ca(ca))
    });
    let [plain, first, second] = served.addresses() else { panic!("three addresses") };
    files.become_like(&new);
    let ca = fs::read(&authority.ca).expect("the file exists");
    fs::remove_file(&authority.ca).expect("the file exists");
    let error = served.handle().reload_tls().expect_err("a file is missing").to_string();
    assert!(
        error.starts_with(&format!("cannot use the certificate {}: No such file", authority.ca)),
        "{error}"
    );
    fs::write(&authority.ca, ca).expect("the file can be written");
    assert!(TlsClient::connect(first, &authority).sees(&old));

    // To give both listeners one certificate would be a surprise.
    let mut client = RawClient::connect(plain);
    assert_eq!(
        client.ask(request(["CONFIG", "SET", "tls-cert-file", &new.certificate])),
        "-ERR CONFIG SET failed (possibly related to argument 'tls-cert-file') - The TLS listeners have different \
         settings. Change the files and reload them with SIGHUP.\r\n"
    );

    served.handle().reload_tls().expect("the files are usable");
    let known = authority.issue("somebody");
    for address in [first, second] {
        let client = TlsClient::try_connect(address, &authority, Some(&known));
        assert!(client.expect("the server accepts the certificate").sees(&new));
    }
}

#[test]
fn config_set_changes_all_or_nothing() {
    let authority = Authority::new();
    let [old, new] = [(); 2].map(|()| authority.issue("localhost"));
    let log = Log::default();
    let server_log = log.clone();
    let app = move || {
        server_log.keep(Level::INFO);
        app()
    };
    let served = serve(app, old.clone(), |server, tls| (server, tls));
    let mut client = RawClient::connect(&served.addresses()[1]);
    let sees = |identity: &Identity| TlsClient::connect(served.address(), &authority).sees(identity);

    // The key of another certificate.
    let set = ["CONFIG", "SET", "tls-cert-file", &new.certificate, "timeout", "7"];
    assert_eq!(client.ask(request(set)), FAILED);
    let reason = log.lines().pop().expect("the reason is in the log");
    let expected = format!(
        "ERROR the TLS settings are unchanged error=cannot use the key {}: it does not belong to the certificate {}",
        old.key, new.certificate
    );
    assert_eq!(reason, expected);
    assert_eq!(setting(&mut client, "tls-cert-file"), old.certificate);
    assert_eq!(setting(&mut client, "timeout"), "0");
    assert!(sees(&old));
    // A mistake in another setting.
    let set =
        ["CONFIG", "SET", "tls-cert-file", &new.certificate, "tls-key-file", &new.key, "timeout", "soon"];
    assert!(
        client
            .ask(request(set))
            .starts_with(b"-ERR CONFIG SET failed (possibly related to argument 'timeout')")
    );
    assert!(sees(&old));

    let set = ["CONFIG", "SET", "TLS-CERT-FILE", &new.certificate, "tls-key-file", &new.key, "timeout", "7"];
    assert_eq!(client.ask(request(set)), "+OK\r\n");
    assert_eq!(setting(&mut client, "tls-cert-file"), new.certificate);
    assert_eq!(setting(&mut client, "tls-key-file"), new.key);
    assert_eq!(setting(&mut client, "timeout"), "7");
    assert!(sees(&new));

    for (name, value, why) in [
        ("tls-protocols", "TLSv1.1", "is not a supported TLS version: use TLSv1.2 or TLSv1.3"),
        ("tls-auth-clients", "maybe", "use no, yes or optional"),
        ("tls-auth-clients", "optional", "`auth_clients` needs `client_ca`"),
        ("tls-auth-clients-user", "EMAIL", "use CN, URI or DNS, or off"),
        ("tls-auth-clients-user", "CN", "`user_from` needs `client_ca`"),
    ] {
        let reply = client.ask(request(["CONFIG", "SET", name, value]));
        assert_eq!(reply, FAILED.replace("tls-cert-file", name));
        let reason = log.lines().pop().expect("the reason is in the log");
        assert!(reason.contains(why), "{reason}");
    }
    for (name, value, shown) in [
        ("tls-ca-cert-file", &*authority.ca, &*authority.ca),
        ("tls-auth-clients", "OPTIONAL", "optional"),
        ("tls-auth-clients-user", "uri", "URI"),
        ("tls-auth-clients-user", "off", "off"),
        ("tls-auth-clients", "no", "no"),
        ("tls-ca-cert-file", "", ""),
        ("tls-protocols", "TLSv1.3", "TLSv1.3"),
        ("tls-protocols", "", "TLSv1.2 TLSv1.3"),
    ] {
        assert_eq!(client.ask(request(["CONFIG", "SET", name, value])), "+OK\r\n", "{name}");
        assert_eq!(setting(&mut client, name), shown);
    }
}

#[test]
fn config_set_changes_which_clients_need_a_certificate() {
    let [authority, other] = [(); 2].map(|()| Authority::new());
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    let mut operator = RawClient::connect(&served.addresses()[1]);
    assert_eq!(setting(&mut operator, "tls-auth-clients"), "no");
    let known = authority.issue("somebody");
    let stranger = other.issue("somebody");
    let is_served = |identity: Option<&Identity>| {
        TlsClient::try_connect(served.address(), &authority, identity)
            .and_then(|mut client| client.try_ask(line("PING")))
            .is_ok()
    };
    let mut set = |values: &[&str]| operator.ask(request([&["CONFIG", "SET"], values].concat()));
    assert_eq!(set(&["tls-ca-cert-file", &authority.ca]), "+OK\r\n");
    for (choice, without, of_another) in
        [("yes", false, false), ("optional", true, false), ("no", true, true), ("yes", false, false)]
    {
        assert_eq!(set(&["tls-auth-clients", choice]), "+OK\r\n");
        assert!(is_served(Some(&known)), "{choice}");
        assert_eq!(is_served(None), without, "{choice}");
        assert_eq!(is_served(Some(&stranger)), of_another, "{choice}");
    }
    // Clients need a certificate, so their authority cannot go.
    assert_eq!(set(&["tls-ca-cert-file", ""]), FAILED.replace("tls-cert-file", "tls-ca-cert-file"));
}

#[test]
fn a_server_without_tls_has_no_tls_settings() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("CONFIG GET tls-*")), "*0\r\n");
    let error = "-ERR Unknown option or number of arguments for CONFIG SET - 'tls-cert-file'\r\n";
    assert_eq!(client.ask(line("CONFIG SET tls-cert-file a.crt")), error);
    served.handle().reload_tls().expect("there is nothing to reload");
}

/// A session that began under other rules must not go around the new ones.
#[test]
fn sessions_are_resumed_until_the_next_reload() {
    let [authority, other] = [(); 2].map(|()| Authority::new());
    let ca = authority.copy_of_ca();
    let clients = ca.clone();
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls.client_ca(clients)));
    let config = client_config(&authority, Some(&authority.issue("somebody")), ALL_VERSIONS);
    let connect = || TlsClient::connect_with(served.address(), "localhost", &config);
    let kind = |client: &TlsClient| client.tls().handshake_kind();
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
        let mut client = connect().expect("the server accepts the client");
        assert_eq!(kind(&client), Some(expected));
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    }
    fs::copy(&other.ca, &ca).expect("the file can be written");
    served.handle().reload_tls().expect("the files are usable");
    connect()
        .and_then(|mut client| client.try_ask(line("PING")))
        .expect_err("the authority is no longer trusted");
}

/// More clients than a cache of sessions would remember.
#[test]
fn sessions_of_many_clients_are_resumed() {
    let authority = Authority::new();
    let served = serve(app, authority.issue("localhost"), |server, tls| (server, tls));
    let configs: Vec<_> = (0..300).map(|_| client_config(&authority, None, ALL_VERSIONS)).collect();
    let connect = |config| {
        let mut client = TlsClient::connect_with(served.address(), "localhost", config)
            .expect("the server accepts the client");
        // The tickets come with the first reply.
        client.ask(line("PING"));
        client.tls().handshake_kind()
    };
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        for config in &configs {
            assert_eq!(connect(config), Some(expected));
        }
    }
}

#[test]
fn a_reload_of_a_server_that_has_not_run_reads_the_files() {
    let authority = Authority::new();
    let Identity { certificate, key } = authority.issue("localhost");
    let server = Server::new(App::new()).bind_tls(ANY_PORT, ServerTls::new(&certificate, &key));
    let handle = server.expect("the files are usable").handle();
    handle.reload_tls().expect("the files are usable");
    fs::remove_file(&key).expect("the file exists");
    handle.reload_tls().expect_err("the key is missing");
}
