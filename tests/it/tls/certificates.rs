//! Actors look at the certificates of clients.

use std::time::{Duration, SystemTime};

use rcgen::{SanType, string::Ia5String};
use thegiant::{AuthClients, Authenticate, Client, Identity as User, prelude::*};

use super::{
    authority::{Authority, Identity},
    client::{ALL_VERSIONS, TlsClient, client_config},
    listener::serve,
};
use crate::support::{RawClient, Served, app, eventually, info, line, lines};

const TEAM: &str = "spiffe://example.org/team/";

/// Describes certificates, and lets teams log in whose password is the name of the team in their certificate.
struct Teams;

impl Actor for Teams {
    type Context = Context<Self>;
}

#[commands]
impl Teams {
    /// Returns the fields of the client's certificate, and the days until its end.
    #[command("CERTIFICATE", readonly)]
    fn certificate(&self, client: &Client) -> Option<String> {
        let certificate = client.certificate()?;
        let left = certificate.not_after().duration_since(SystemTime::now()).expect("a valid certificate");
        let dns_names: Vec<_> = certificate.dns_names().collect();
        let uris: Vec<_> = certificate.uris().collect();
        let days = (left.as_secs_f64() / 86_400.0).round();
        Some(format!("{:?} {dns_names:?} {uris:?} {days}", certificate.common_name()))
    }
}

impl Handler<Authenticate> for Teams {
    type Result = Result<User, Error>;

    fn handle(&mut self, login: Authenticate, _: &mut Context<Self>) -> Self::Result {
        let certificate = login.client.certificate().ok_or(Error::WRONG_PASSWORD)?;
        let team = certificate.uris().find_map(|uri| uri.strip_prefix(TEAM));
        let team = team.filter(|team| login.password.as_str() == Some(*team)).ok_or(Error::WRONG_PASSWORD)?;
        Ok(User::with_rules(team, format!("~{team}:* +@all")))
    }
}

/// Serves the teams. Clients may have a certificate.
fn serve_teams(authority: &Authority) -> Served {
    let ca = authority.ca.clone();
    let teams = || {
        let teams = Teams.start();
        app().mount(teams.clone()).authenticate(teams)
    };
    serve(teams, authority.issue("localhost"), |server, tls| {
        let server = server.user("default", "on nopass ~* &* +@all");
        (server, tls.client_ca(ca).auth_clients(AuthClients::Optional))
    })
}

fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).expect("ASCII"))
}

fn connect(served: &Served, authority: &Authority, identity: Option<&Identity>) -> TlsClient {
    TlsClient::try_connect(served.address(), authority, identity).expect("the server accepts the client")
}

#[test]
fn a_command_sees_the_certificate_of_its_client() {
    let authority = Authority::new();
    let served = serve_teams(&authority);
    let days = Duration::from_secs(30 * 86_400);
    let named = authority.issue_named("tea", [uri("urn:a"), uri("urn:b")]);
    let short = authority.issue_for("short.example", days);
    let mut client = connect(&served, &authority, Some(&named));
    let reply = String::from_utf8(client.ask(line("CERTIFICATE")).to_vec()).expect("text");
    assert!(reply.contains("\r\nSome(\"tea\") [\"client.example\"] [\"urn:a\", \"urn:b\"] "), "{reply}");
    // It belongs to the connection, and not to its user.
    assert_eq!(client.ask(line("RESET")), "+RESET\r\n");
    assert_eq!(client.ask(line("CERTIFICATE")), reply);
    let mut client = connect(&served, &authority, Some(&short));
    let reply = String::from_utf8(client.ask(line("CERTIFICATE")).to_vec()).expect("text");
    assert!(reply.ends_with(" [\"short.example\"] [] 30\r\n"), "{reply}");
    assert_eq!(connect(&served, &authority, None).ask(line("CERTIFICATE")), "$-1\r\n");
    assert_eq!(RawClient::connect(&served.addresses()[1]).ask(line("CERTIFICATE")), "$-1\r\n");
}

#[test]
fn a_resumed_session_has_the_certificate() {
    let authority = Authority::new();
    let served = serve_teams(&authority);
    let config = client_config(&authority, Some(&authority.issue_named("tea", [])), ALL_VERSIONS);
    let certificate = || {
        let mut client = TlsClient::connect_with(served.address(), "localhost", &config)
            .expect("the server accepts the certificate");
        client.ask(line("CERTIFICATE"))
    };
    let first = certificate();
    assert!(first.starts_with(b"$"), "{first:?}");
    assert_eq!(certificate(), first);
}

#[test]
fn an_actor_decides_about_a_login_by_the_certificate() {
    let authority = Authority::new();
    let served = serve_teams(&authority);
    let tea = authority.issue_named("x", [uri("urn:other"), uri(&format!("{TEAM}tea"))]);
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    let mut client = connect(&served, &authority, Some(&tea));
    client.send(lines(
        "AUTH somebody coffee \n AUTH somebody tea \n ACL WHOAMI \n SET tea:1 x \n SET coffee:1 x",
    ));
    let no_key = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
    for expected in [wrong, "+OK\r\n", "$3\r\ntea\r\n", "+OK\r\n", no_key] {
        assert_eq!(client.reply(), expected);
    }
    let mut client = connect(&served, &authority, None);
    assert_eq!(client.ask(line("AUTH somebody tea")), wrong);
}

/// Clients without a certificate store nothing for it.
#[test]
fn the_memory_of_a_certificate_is_counted_while_its_client_is_connected() {
    let authority = Authority::new();
    let served = serve_teams(&authority);
    let mut operator = RawClient::connect(&served.addresses()[1]);
    let mut memory = || info(&mut operator, "memory").number("mem_clients_normal");
    let mut unnamed = connect(&served, &authority, None);
    assert_eq!(unnamed.ask(line("PING")), "+PONG\r\n");
    assert_eq!(memory(), 0);
    let long = "x".repeat(1000);
    let mut named = connect(&served, &authority, Some(&authority.issue_named("tea", [uri(&long)])));
    assert_eq!(named.ask(line("PING")), "+PONG\r\n");
    assert!((1000..2000).contains(&memory()), "{}", memory());
    drop(named);
    eventually(|| (memory() == 0).then_some(()));
}
