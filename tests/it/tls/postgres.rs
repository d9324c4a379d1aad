//! Encrypted connections of `jobs` and `collector` to PostgreSQL.

use std::process::Command;

use super::authority::Authority;
use crate::support::{Folder, Postgres, Process, RawClient, binary, eventually, line};

/// Starts a server whose certificate is for this name, with a user `worker`.
pub(super) fn start(authority: &Authority, name: &str) -> Postgres {
    let identity = authority.issue(name);
    let postgres = Postgres::with_tls(&identity.certificate, &identity.key);
    postgres.answer("CREATE ROLE worker LOGIN PASSWORD 'secret'");
    postgres.answer("GRANT CREATE ON DATABASE postgres TO worker");
    postgres.answer("GRANT CREATE ON SCHEMA public TO worker");
    for schema in ["jobs", "collector"] {
        postgres.answer(&format!("CREATE SCHEMA {schema} AUTHORIZATION worker"));
    }
    postgres
}

pub(super) fn url(postgres: &Postgres, options: &str) -> String {
    postgres.tls_url("worker:secret", "localhost", options)
}

/// Starts jobs that should refuse its database. Returns its error.
fn refusal(url: &str) -> String {
    let mut jobs = Command::new(binary("jobs"));
    let output = jobs.args(["--bind", "127.0.0.1:0", "--database", url]).output().expect("it can be started");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!error.contains("secret"), "{error}");
    error
}

#[test]
fn the_certificate_of_the_server_is_verified() {
    let authority = Authority::new();
    let postgres = start(&authority, "localhost");
    let encrypted = "SELECT bool_and(ssl)::text || count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE usename = 'worker'";
    for mode in ["require", "verify-full"] {
        let url = url(&postgres, &format!("sslmode={mode}&sslrootcert={}", authority.ca));
        let jobs = Process::program_with("jobs", &["--database", &url]);
        assert!(RawClient::connect(jobs.address()).ask(line("ADDJOB q body")).starts_with(b"$"));
        let folder = Folder::new();
        let dir = folder.path().display().to_string();
        let options = ["--dir", &dir, "--database", &url, "--name", mode];
        let collector = Process::program_with("collector", &options);
        RawClient::connect(collector.address()).ask(line("XADD s * a b"));
        let arrived = format!("SELECT count(*) FROM collector.events WHERE collector = '{mode}'");
        eventually(|| (postgres.answer(&arrived) == "1").then_some(()));
        assert_eq!(postgres.answer(encrypted), "true2");
        drop((jobs, collector));
        eventually(|| (postgres.answer(encrypted).is_empty()).then_some(()));
    }
}

#[test]
fn a_server_with_another_certificate_is_refused() {
    let [authority, other] = [Authority::new(), Authority::new()];
    let postgres = start(&authority, "warehouse.example");
    let error = refusal(&url(&postgres, &format!("sslmode=verify-full&sslrootcert={}", authority.ca)));
    let text = "the peer's certificate is for warehouse.example, not for localhost\n";
    assert!(error.starts_with("jobs: postgres: ") && error.ends_with(text), "{error}");
    let error = refusal(&url(&postgres, &format!("sslmode=require&sslrootcert={}", other.ca)));
    assert!(error.ends_with("the peer's certificate is from an unknown authority\n"), "{error}");
}

#[test]
fn mistakes_with_tls_are_errors() {
    let authority = Authority::new();
    let postgres = start(&authority, "localhost");
    for (options, text) in [
        ("sslmode=disable", "no encryption"),
        ("connect_timeout=9", "no encryption"),
        ("sslmode=verify-ca", "unknown sslmode: write disable, prefer, require or verify-full"),
        ("sslmode=require&sslrootcert=/nothing", "/nothing"),
    ] {
        let error = refusal(&url(&postgres, options));
        assert!(error.contains(text), "{options}: {error}");
    }
    let plain = Postgres::start();
    let error = refusal(&format!("{}&sslmode=require&sslrootcert={}", plain.url(), authority.ca));
    assert!(error.ends_with("a Unix socket is not encrypted: leave sslmode out\n"), "{error}");
}
