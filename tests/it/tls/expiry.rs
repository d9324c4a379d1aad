//! The end of the server's certificate.

use std::time::Duration;

use tracing::Level;

use super::{authority::Authority, listener::serve};
use crate::support::{Log, RawClient, app, eventually, info};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Serves with certificates that end after this time. Returns the log with this many lines, and the times of `INFO`.
#[track_caller]
fn served_for(first: Duration, second: Option<Duration>, warnings: usize) -> (Vec<String>, [String; 2]) {
    let authority = Authority::new();
    let identity = authority.issue_for("localhost", first);
    let second = second.map(|time| authority.issue_for("other", time));
    let log = Log::default();
    let server_log = log.clone();
    let app = move || {
        server_log.keep(Level::WARN);
        app()
    };
    let served = serve(app, identity, move |server, tls| match second {
        Some(second) => (server, tls.add_certificate(second.certificate, second.key)),
        None => (server, tls),
    });
    let mut observer = RawClient::connect(&served.addresses()[1]);
    observer.let_server_read();
    let info = info(&mut observer, "tls");
    let address = served.address();
    let fields = ["tls_server_cert_expires_in_seconds", "tls_listener_0"];
    let fields = fields.map(|field| info.text(field).replace(address, "ADDRESS"));
    let lines = eventually(|| Some(log.lines()).filter(|lines| lines.len() >= warnings));
    let lines = lines.iter().map(|line| line.replace(address, "ADDRESS")).collect();
    (lines, fields)
}

#[track_caller]
fn assert_expires_in(fields: &[String; 2], time: Duration) {
    let seconds: i64 = fields[0].parse().expect("a number");
    let expected = time.as_secs() as i64;
    assert!((expected - 10..=expected).contains(&seconds), "{seconds} s, not {expected} s");
    assert_eq!(fields[1], format!("address=ADDRESS,cert_expires_in_seconds={seconds}"));
}

#[test]
fn a_certificate_that_ends_soon_is_logged() {
    let (log, fields) = served_for(15 * DAY, None, 0);
    assert_eq!(log, [""; 0]);
    assert_expires_in(&fields, 15 * DAY);
    let (log, fields) = served_for(13 * DAY + DAY / 2, None, 1);
    assert_eq!(
        log,
        [
            "WARN the TLS certificate expires soon: renew it, and reload it with SIGHUP address=ADDRESS days=13"
        ]
    );
    assert_expires_in(&fields, 13 * DAY + DAY / 2);
}

#[test]
fn the_first_of_several_certificates_to_end_counts() {
    let (log, fields) = served_for(15 * DAY, Some(2 * DAY), 1);
    assert_eq!(log.len(), 1, "{log:?}");
    assert_expires_in(&fields, 2 * DAY);
}

#[test]
fn a_certificate_that_has_expired_is_an_error_in_the_log() {
    let authority = Authority::new();
    let log = Log::default();
    let server_log = log.clone();
    let app = move || {
        server_log.keep(Level::WARN);
        app()
    };
    let served = serve(app, authority.issue_expired("localhost"), |server, tls| (server, tls));
    let lines = eventually(|| Some(log.lines()).filter(|lines| !lines.is_empty()));
    let expected = "ERROR the TLS certificate has expired: renew it, and reload it with SIGHUP address=";
    assert_eq!(lines, [format!("{expected}{}", served.address())]);
    let mut observer = RawClient::connect(&served.addresses()[1]);
    assert!(info(&mut observer, "tls").text("tls_server_cert_expires_in_seconds").starts_with('-'));
}

/// The clock of the server runs ahead whenever the server is idle.
#[test]
fn a_certificate_that_ends_soon_is_logged_every_day() {
    let authority = Authority::new();
    let log = Log::default();
    let server_log = log.clone();
    let app = move || {
        server_log.keep(Level::WARN);
        tokio::time::pause();
        app()
    };
    let _served = serve(app, authority.issue_for("localhost", 5 * DAY), |server, tls| (server, tls));
    let lines = eventually(|| Some(log.lines()).filter(|lines| lines.len() >= 2));
    assert!(lines.iter().all(|line| line.starts_with("WARN the TLS certificate expires soon")), "{lines:?}");
}
