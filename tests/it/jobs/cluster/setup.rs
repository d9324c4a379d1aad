//! Mistakes in the setup.

use std::{ffi::OsStr, process::Command};

use super::{Instances, LEASE, add, connected, options};
use crate::support::{Folder, Postgres, Process, binary, line};

/// Starts an instance that should end with an error. Returns the error.
fn refusal<S: AsRef<OsStr>>(options: &[S]) -> String {
    let mut jobs = Command::new(binary("jobs"));
    let output = jobs.env("RUST_LOG", "off").args(["--bind", "127.0.0.1:0"]).args(options).output();
    let output = output.expect("it can be started");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_number_of_partitions_cannot_be_changed() {
    let server = Postgres::start();
    let _instances = Instances::start(server.url(), &["a"]);
    let url = server.url();
    let mut other = options(&url, LEASE, "b");
    other[3] = "7".to_owned();
    let error = refusal(&other);
    assert!(error.contains('6') && error.contains("partitions"), "{error}");
}

#[test]
fn a_name_belongs_to_one_process() {
    let server = Postgres::start();
    let _instances = Instances::start(server.url(), &["a"]);
    let url = server.url();
    let error = refusal(&options(&url, LEASE, "a"));
    assert!(error.contains('a'), "{error}");
}

#[test]
fn no_jobs_stay_unseen_when_the_mode_changes() {
    let server = Postgres::start();
    let url = server.url();
    let one = Process::program_with("jobs", &["--database", &url]);
    let mut client = connected(&one);
    let id = add(&mut client, "q body");
    let error = refusal(&options(&url, LEASE, "a"));
    let text = ": the schema jobs has jobs of a server without --cluster-node: let that server finish them first, or use another database\n";
    assert!(error.ends_with(text), "{error}");
    assert_eq!(client.ask(line(&format!("ACKJOB {id}"))), ":1\r\n");
    drop(one);
    let instances = Instances::start(url.clone(), &["a"]);
    drop(instances);
    let error = refusal(&["--database", &url]);
    let text = ": the jobs of this database belong to several instances: write --cluster-node NAME, or use another database\n";
    assert!(error.ends_with(text), "{error}");
}

#[test]
fn a_store_has_a_url() {
    let error =
        refusal(&["--cluster-node", "a", "--database", "postgres://h/x", "--cluster-store", "h:2379"]);
    let text = "jobs: --cluster-store: expected etcd://HOST:PORT[,HOST:PORT...][/PREFIX], the same with etcds://, or postgres://USER@HOST/NAME\n";
    assert_eq!(error, text);
}

#[test]
fn instances_need_a_database_that_they_share() {
    let error = refusal(&["--cluster-node", "a"]);
    assert_eq!(
        error,
        "jobs: --cluster-node: the instances need a database that they share: --database postgres://USER@HOST/NAME\n"
    );
    let folder = Folder::new();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let error = refusal(&["--cluster-node", "a", "--database", &url]);
    assert_eq!(
        error,
        "jobs: --database: several instances cannot share a file: use postgres://USER@HOST/NAME\n"
    );
}

#[test]
fn the_address_of_a_standby_is_checked() {
    let options = ["--cluster-node", "a", "--database", "postgres://h/x", "--cluster-sentinel", "work"];
    let error = refusal(&[&options[..], &["--cluster-address", "nonsense"]].concat());
    assert_eq!(error, "jobs: a has the address \"nonsense\": write HOST:PORT or [IPV6]:PORT\n");
}

#[test]
fn an_address_that_no_client_can_use_is_an_error() {
    let mut jobs = Command::new(binary("jobs"));
    jobs.args(["--cluster-node", "a", "--database", "postgres://localhost/x", "--bind", "0.0.0.0:0"]);
    let error = jobs.output().expect("it can be started").stderr;
    assert_eq!(
        String::from_utf8_lossy(&error),
        "jobs: --cluster-address: write the address that clients use for this instance, because --bind has none that they can use\n"
    );
}
