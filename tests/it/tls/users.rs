//! Users from client certificates.

use rcgen::{SanType, string::Ia5String};
use thegiant::{AuthClients, CertificateUser};
use tracing::Level;

use super::{
    authority::{Authority, Identity},
    client::{ALL_VERSIONS, TlsClient, client_config},
    listener::serve,
};
use crate::support::{Log, RawClient, Served, app, eventually, line, lines};

/// Serves users, whose names come from this field. Returns the log, too.
fn serve_users(authority: &Authority, field: CertificateUser, default: &'static str) -> (Served, Log) {
    let log = Log::default();
    let server_log = log.clone();
    let app = move || {
        server_log.keep(Level::INFO);
        app()
    };
    let ca = authority.ca.clone();
    let served = serve(app, authority.issue("localhost"), move |server, tls| {
        let server = server
            .user("worker", "on ~jobs:* +@all")
            .user("client.example", "on nopass ~* +@all")
            .user("spiffe://example.org/worker", "on ~* +@all")
            .user("retired", "off >old ~* +@all")
            .user("default", default);
        (server, tls.client_ca(ca).user_from(field))
    });
    (served, log)
}

fn connect(served: &Served, authority: &Authority, identity: &Identity) -> TlsClient {
    let client = TlsClient::try_connect(served.address(), authority, Some(identity));
    client.expect("the server accepts the certificate")
}

#[test]
fn the_common_name_is_the_user() {
    let authority = Authority::new();
    let (served, log) = serve_users(&authority, CertificateUser::CommonName, ">secret");
    let worker = authority.issue_named("worker", []);
    let mut client = connect(&served, &authority, &worker);
    assert_eq!(client.ask(line("ACL WHOAMI")), "$6\r\nworker\r\n");
    assert_eq!(client.ask(line("SET jobs:1 x")), "+OK\r\n");
    let no_key = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
    assert_eq!(client.ask(line("SET other x")), no_key);
    let info = String::from_utf8(client.ask(line("CLIENT INFO")).to_vec()).expect("text");
    assert!(info.contains(" user=worker "), "{info}");
    // As in Redis, `RESET` makes the client one of the default user.
    assert_eq!(client.ask(line("RESET")), "+RESET\r\n");
    assert_eq!(client.ask(line("ACL WHOAMI")), "-NOAUTH Authentication required.\r\n");
    assert_eq!(client.ask(line("AUTH secret")), "+OK\r\n");
    assert_eq!(client.ask(line("ACL WHOAMI")), "$7\r\ndefault\r\n");

    // `HELLO` needs no password. A pipeline that arrives with the handshake is one of the user.
    let mut client = connect(&served, &authority, &worker);
    client.send(lines("HELLO 3 \n ACL WHOAMI \n AUTH secret \n ACL WHOAMI"));
    assert!(client.reply().starts_with(b"%7\r\n"));
    assert_eq!(client.reply(), "$6\r\nworker\r\n");
    assert_eq!(client.reply(), "+OK\r\n");
    assert_eq!(client.reply(), "$7\r\ndefault\r\n");
    assert_eq!(log.lines(), [""; 0]);
}

#[test]
fn a_client_without_a_user_is_one_of_the_default_user() {
    let authority = Authority::new();
    for (default, reply) in [
        ("nopass +@all", "$7\r\ndefault\r\n"),
        (">secret", "-NOAUTH Authentication required.\r\n"),
        ("off", "-NOAUTH Authentication required.\r\n"),
    ] {
        let (served, log) = serve_users(&authority, CertificateUser::CommonName, default);
        for (name, shown) in [("nobody", "nobody"), ("retired", "retired"), ("a\nb", "a\\nb")] {
            let identity = authority.issue_named(name, []);
            assert_eq!(connect(&served, &authority, &identity).ask(line("ACL WHOAMI")), reply);
            let lines = eventually(|| Some(log.lines()).filter(|lines| !lines.is_empty()));
            let last = lines.last().expect("a line");
            assert!(
                last.starts_with("INFO the certificate of the client names no user that is on id="),
                "{last}"
            );
            assert!(last.ends_with(&format!(" names={shown}")), "{last}");
        }
        let mut observer = RawClient::connect(&served.addresses()[1]);
        observer.ask(line("AUTH client.example x"));
        let entries = String::from_utf8(observer.ask(line("ACL LOG")).to_vec()).expect("text");
        for expected in ["$8\r\ntls-cert\r\n", "$8\r\ntoplevel\r\n", "$6\r\nnobody\r\n", "$7\r\nretired\r\n"]
        {
            assert!(entries.contains(expected), "{entries}");
        }
    }
}

#[test]
fn alternative_names_can_be_the_user() {
    let authority = Authority::new();
    let uri = |text: &str| SanType::URI(Ia5String::try_from(text).expect("ASCII"));
    let identity = authority.issue_named(
        "worker",
        [uri("spiffe://example.org/nobody"), uri("retired"), uri("spiffe://example.org/worker")],
    );
    for (field, user) in [
        (CertificateUser::CommonName, "worker"),
        (CertificateUser::Uri, "spiffe://example.org/worker"),
        (CertificateUser::Dns, "client.example"),
    ] {
        let (served, log) = serve_users(&authority, field, "off");
        let reply = connect(&served, &authority, &identity).ask(line("ACL WHOAMI"));
        assert_eq!(reply, format!("${}\r\n{user}\r\n", user.len()));
        assert_eq!(log.lines(), [""; 0]);
    }
    // A certificate without such a name.
    let (served, _) = serve_users(&authority, CertificateUser::Uri, "off");
    let reply = connect(&served, &authority, &authority.issue_named("worker", [])).ask(line("PING"));
    assert_eq!(reply, "-NOAUTH Authentication required.\r\n");
}

/// Clients with and without a certificate use the same address.
#[test]
fn a_client_without_a_certificate_logs_in_by_password() {
    let [authority, other] = [(); 2].map(|()| Authority::new());
    let ca = authority.ca.clone();
    let log = Log::default();
    let server_log = log.clone();
    let app = move || {
        server_log.keep(Level::INFO);
        app()
    };
    let served = serve(app, authority.issue("localhost"), move |server, tls| {
        let server = server.user("worker", "on >secret ~* +@all").user("default", "off");
        let tls = tls.client_ca(ca).auth_clients(AuthClients::Optional);
        (server, tls.user_from(CertificateUser::CommonName))
    });
    let connect = |identity: Option<&Identity>| {
        let mut client = TlsClient::try_connect(served.address(), &authority, identity)?;
        client.try_ask(line("ACL WHOAMI")).map(|reply| (client, reply))
    };
    let (_, reply) = connect(Some(&authority.issue_named("worker", []))).expect("a valid certificate");
    assert_eq!(reply, "$6\r\nworker\r\n");
    let (mut client, reply) = connect(None).expect("the client needs no certificate");
    assert_eq!(reply, "-NOAUTH Authentication required.\r\n");
    assert!(client.ask(line("AUTH worker wrong")).starts_with(b"-WRONGPASS "));
    assert_eq!(client.ask(line("AUTH worker secret")), "+OK\r\n");
    assert_eq!(client.ask(line("ACL WHOAMI")), "$6\r\nworker\r\n");
    assert_eq!(log.lines(), [""; 0]);

    for (invalid, reason) in [
        (other.issue_named("worker", []), "the peer's certificate is from an unknown authority"),
        (authority.issue_expired("worker"), "the peer's certificate has expired"),
    ] {
        connect(Some(&invalid)).err().expect("the server refuses the certificate");
        let last = eventually(|| log.lines().pop().filter(|line| line.ends_with(reason)));
        assert!(last.starts_with("INFO closed: the TLS handshake failed "), "{last}");
    }
}

/// A resumed session has the certificate of the first handshake, but the users of today.
#[test]
fn a_resumed_session_looks_its_user_up() {
    let authority = Authority::new();
    let (served, _) = serve_users(&authority, CertificateUser::CommonName, "off");
    let config = client_config(&authority, Some(&authority.issue_named("worker", [])), ALL_VERSIONS);
    let who = || {
        let mut client = TlsClient::connect_with(served.address(), "localhost", &config)
            .expect("the server accepts the certificate");
        client.ask(line("ACL WHOAMI"))
    };
    assert_eq!(who(), "$6\r\nworker\r\n");
    assert_eq!(who(), "$6\r\nworker\r\n");
    let mut operator = RawClient::connect(&served.addresses()[1]);
    assert_eq!(operator.ask(line("AUTH client.example x")), "+OK\r\n");
    assert_eq!(operator.ask(line("ACL SETUSER worker off")), "+OK\r\n");
    assert_eq!(who(), "-NOAUTH Authentication required.\r\n");
}

/// The time limit for authentication ends with the handshake of a user.
#[test]
fn a_user_from_a_certificate_has_authenticated() {
    let authority = Authority::new();
    let ca = authority.ca.clone();
    let served = serve(app, authority.issue("localhost"), move |server, tls| {
        let timeouts = thegiant::Timeouts::new().auth(std::time::Duration::from_secs(1));
        let server = server.user("worker", "on ~* +@all").user("default", "off").timeouts(timeouts);
        (server, tls.client_ca(ca).user_from(CertificateUser::CommonName))
    });
    let mut known = connect(&served, &authority, &authority.issue_named("worker", []));
    let mut unknown = connect(&served, &authority, &authority.issue_named("nobody", []));
    // The server closes the socket of a client that is too late without `close_notify`.
    unknown.rest().expect_err("the server ends the connection");
    assert_eq!(known.ask(line("PING")), "+PONG\r\n");
}
