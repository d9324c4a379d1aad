//! Encrypted connections to the stores in which instances agree.

use thegiant_cluster::{ClientTls, Etcd, Postgres, Store};

use super::{authority::Authority, postgres};
use crate::{
    leases::stores::{check, run},
    support::{self, Process, RawClient, eventually, line},
};

/// Starts etcd with a certificate for this name.
fn start(authority: &Authority, name: &str) -> support::Etcd {
    let server = authority.issue(name);
    support::Etcd::with_tls(&server.certificate, &server.key, &authority.ca)
}

async fn error(store: impl Store) -> String {
    store.list().await.expect_err("the connection fails").to_string()
}

#[test]
fn a_store_in_etcd_uses_tls() {
    let [authority, other] = [Authority::new(), Authority::new()];
    let etcd = start(&authority, "127.0.0.1");
    let client = authority.issue("client.example");
    let store = || Etcd::new([etcd.endpoint()], "/test/").expect("a valid endpoint");
    let with = |tls: ClientTls| store().tls(tls).expect("the files are valid");
    run(async {
        let trusted = || ClientTls::new().ca(&authority.ca);
        check(with(trusted().certificate(&client.certificate, &client.key))).await;
        let unknown = "etcd: the peer's certificate is from an unknown authority";
        assert_eq!(error(with(ClientTls::new().ca(&other.ca))).await, unknown);
        assert_eq!(error(store()).await, unknown);
        let refused = error(with(trusted())).await;
        assert!(refused.starts_with("etcd: the peer re") && refused.contains("certificate"), "{refused}");
        let plain = etcd.endpoint().replace("https", "http");
        error(Etcd::new([plain], "/test/").expect("a valid endpoint")).await;
        let missing = store().tls(ClientTls::new().ca("/nothing")).expect_err("no such file").to_string();
        assert!(missing.starts_with("cannot use the certificate /nothing: "), "{missing}");
    });
}

#[test]
fn a_certificate_of_another_server_is_refused() {
    let authority = Authority::new();
    let etcd = start(&authority, "etcd.example");
    run(async {
        let store = Etcd::new([etcd.endpoint()], "/test/").expect("a valid endpoint");
        let store = store.tls(ClientTls::new().ca(&authority.ca)).expect("the file is valid");
        let text = "etcd: the peer's certificate is for etcd.example, not for 127.0.0.1";
        assert_eq!(error(store).await, text);
    });
}

#[test]
fn a_store_in_postgres_uses_tls() {
    let [authority, other] = [Authority::new(), Authority::new()];
    let server = postgres::start(&authority, "localhost");
    let store = |options: &str| Postgres::new(&postgres::url(&server, options), "test").expect("a valid URL");
    run(async {
        check(store(&format!("sslmode=verify-full&sslrootcert={}", authority.ca))).await;
        let refused = error(store(&format!("sslmode=verify-full&sslrootcert={}", other.ca))).await;
        assert!(refused.ends_with("the peer's certificate is from an unknown authority"), "{refused}");
        let refused = error(store("sslmode=disable")).await;
        assert!(refused.contains("no encryption") && !refused.contains("secret"), "{refused}");
        let url = postgres::url(&server, "sslmode=verify-full&sslrootcert=/nothing");
        let missing = Postgres::new(&url, "test").expect_err("no such file").to_string();
        assert!(missing.starts_with("PostgreSQL: cannot use the certificate /nothing: "), "{missing}");
    });
}

#[test]
fn instances_of_jobs_use_tls() {
    let authority = Authority::new();
    let etcd = start(&authority, "127.0.0.1");
    for arguments in ["user add root:a@b", "user grant-role root root", "auth enable"] {
        etcd.set_up(arguments);
    }
    let client = authority.issue("root");
    let [ca, cert, key] = [&authority.ca, &client.certificate, &client.key];
    let host = etcd.endpoint().strip_prefix("https://").expect("it is encrypted");
    let in_etcd = format!("etcds://root:a%40b@{host}/test?cacert={ca}&cert={cert}&key={key}");
    let file = authority.file("store", &in_etcd);
    // Without a store, it is the database.
    for options in [&["--cluster-store-file", &file][..], &[]] {
        let server = postgres::start(&authority, "localhost");
        let database = postgres::url(&server, &format!("sslmode=verify-full&sslrootcert={ca}"));
        let instance = ["--database", &database, "--cluster-node", "a", "--cluster-partitions", "1"];
        let jobs = Process::program_with("jobs", &[&instance[..], options].concat());
        let mut client = RawClient::connect(jobs.address());
        eventually(|| client.ask(line("ADDJOB q body")).starts_with(b"$").then_some(()));
        let has_table = server.answer("SELECT to_regclass('thegiant_cluster') IS NOT NULL");
        assert_eq!(has_table, if options.is_empty() { "t" } else { "f" });
    }
}
