//! The promises of each store.

use std::{
    future::ready,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use thegiant_cluster::{ClientTls, Etcd, MemoryStore, Postgres, Store, Swap};
use tokio::time::timeout;

use crate::support::{self, PATIENCE};

pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn a_store_in_memory_swaps() {
    run(async { check(MemoryStore::new()).await });
}

#[test]
fn a_store_in_etcd_swaps() {
    let etcd = support::Etcd::start();
    run(async {
        let new = |prefix| Etcd::new([etcd.endpoint()], prefix).expect("a valid endpoint");
        let other = new("/test0");
        other.swap("key", None, Some("another application")).await.expect("it answers");
        check(new("/test/")).await;
        // The first endpoint does not answer.
        let store = Etcd::new(["http://127.0.0.1:1", etcd.endpoint()], "/second/").expect("they are valid");
        store.list().await.expect_err("no server is there");
        check(store).await;
    });
}

#[test]
fn a_change_between_a_list_and_the_watch_of_etcd_is_noticed() {
    let etcd = support::Etcd::start();
    run(async {
        let new = || Etcd::new([etcd.endpoint()], "/test/").expect("a valid endpoint");
        let (store, other) = (new(), new());
        let mut changed = pin!(store.changed());
        assert!(is_waiting(&mut changed).await);
        store.list().await.expect("it answers");
        other.swap("topology", None, Some("1")).await.expect("it answers");
        timeout(PATIENCE, &mut changed).await.expect("it notices the first change");
        let Swap::Done(heartbeat) = other.swap("instances/a", None, Some("1")).await.expect("it answers")
        else {
            panic!("it is new")
        };
        timeout(PATIENCE, store.changed()).await.expect("it notices the second change");
        // No change is noticed twice, and a heartbeat is none.
        other.swap("instances/a", Some(heartbeat), Some("2")).await.expect("it answers");
        let some_time = async {
            for _ in 0..20 {
                other.list().await.expect("it answers");
            }
        };
        tokio::select! {
            () = store.changed() => panic!("nothing has changed"),
            () = some_time => {}
        }
    });
}

#[test]
fn a_change_while_postgres_was_away_is_noticed() {
    let postgres = support::Postgres::start();
    run(async {
        let store = Postgres::new(&postgres.url(), "test").expect("a valid URL");
        store.list().await.expect("it answers");
        let mut changed = pin!(store.changed());
        assert!(is_waiting(&mut changed).await);
        postgres.down();
        postgres.up();
        // Any call connects again: here one that is no list, and changes nothing.
        while store.swap("instances/a", Some(1), Some("2")).await.is_err() {}
        timeout(PATIENCE, changed).await.expect("it does not know that there was no change");
    });
}

/// Returns whether a store has noticed no change yet.
async fn is_waiting(changed: &mut Pin<&mut impl Future<Output = ()>>) -> bool {
    tokio::select! {
        biased;
        () = changed => false,
        () = ready(()) => true,
    }
}

#[test]
fn a_store_in_etcd_knows_its_user() {
    let etcd = support::Etcd::start();
    let set_up = |all: &[&str]| all.iter().for_each(|arguments| etcd.set_up(arguments));
    set_up(&["user add root:secret", "user grant-role root root", "auth enable"]);
    run(async {
        let new = || Etcd::new([etcd.endpoint()], "/test/").expect("a valid endpoint");
        let error = new().list().await.expect_err("it needs a user").to_string();
        assert_eq!(error, "etcd: etcdserver: user name is empty");
        let error = new().user("root", "wrong").list().await.expect_err("it is wrong").to_string();
        assert!(error.starts_with("etcd: etcdserver: authentication failed"), "{error}");
        check(new().user("root", "secret")).await;
        let store = new().user("root", "secret");
        store.list().await.expect("it answers");
        // The tokens of all users end.
        set_up(&["--user root:secret auth disable", "auth enable"]);
        store.list().await.expect("the store gets another token");
    });
}

#[test]
fn a_user_of_etcd_needs_no_more_than_the_keys_with_the_prefix() {
    let etcd = support::Etcd::start();
    for arguments in [
        "user add root:secret",
        "user grant-role root root",
        "role add shop",
        "role grant-permission --prefix=true shop readwrite /test/",
        "user add shop:password",
        "user grant-role shop shop",
        "auth enable",
    ] {
        etcd.set_up(arguments);
    }
    run(async {
        let new = |prefix| Etcd::new([etcd.endpoint()], prefix).expect("a valid endpoint");
        check(new("/test/").user("shop", "password")).await;
        let error = new("/other/").user("shop", "password").list().await.expect_err("it may not").to_string();
        assert_eq!(error, "etcd: etcdserver: permission denied");
    });
}

#[test]
fn a_store_in_postgres_swaps() {
    let postgres = support::Postgres::start();
    run(async {
        let new = |cluster| Postgres::new(&postgres.url(), cluster).expect("a valid URL");
        // Both create the table.
        let (one, two) = (new("one"), new("two"));
        let (one, two) = tokio::join!(one.list(), two.list());
        assert_eq!((one.expect("it answers"), two.expect("it answers")), (vec![], vec![]));
        new("other").swap("key", None, Some("another application")).await.expect("it answers");
        let store = new("test");
        store.list().await.expect("it answers");
        check(store).await;
    });
}

/// PostgreSQL notices that a client is gone only when its statement has ended.
#[test]
fn calls_that_were_given_up_leave_no_sessions_that_wait_for_a_row() {
    let primary = support::Postgres::start();
    let standby = primary.standby();
    let sessions = |wait: &str| {
        let select = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'thegiant-cluster' AND {wait}"
        );
        primary.answer(&select).parse::<usize>().expect("a number")
    };
    run(async {
        let store = Postgres::new(&primary.url(), "test").expect("a valid URL");
        let Swap::Done(revision) = store.swap("key", None, Some("1")).await.expect("it answers") else {
            panic!("it is new")
        };
        standby.freeze();
        for waiting in 0..2 {
            let mut call = pin!(store.swap("key", Some(revision), Some("2")));
            while sessions("wait_event_type IN ('Lock', 'IPC')") <= waiting {
                let given_up = tokio::time::timeout(Duration::from_millis(10), &mut call).await;
                given_up.expect_err("the standby does not answer");
            }
        }
    });
    support::eventually(|| (sessions("wait_event_type = 'Lock'") == 0).then_some(()));
    assert_eq!(sessions("wait_event = 'SyncRep'"), 1);
}

#[test]
fn mistakes_say_what_to_write() {
    run(async {
        let error = |error: std::io::Error| error.to_string();
        let none: [&str; 0] = [];
        assert_eq!(Etcd::new(none, "").map_err(error).expect_err("no endpoint"), "etcd needs an endpoint");
        let wrong = Etcd::new(["a b"], "").map_err(error).expect_err("no address");
        assert_eq!(wrong, "\"a b\" is no endpoint of etcd: write http://HOST:PORT or https://HOST:PORT");
        let wrong = Etcd::new(["http://me:secret@a:1"], "").map_err(error).expect_err("a user");
        assert_eq!(wrong, "an endpoint of etcd has no user: set it with Etcd::user");
        let wrong = Etcd::new(["http://a:1"], "").and_then(|store| store.tls(ClientTls::new()));
        let wrong = wrong.map_err(error).expect_err("no encrypted endpoint");
        assert_eq!(wrong, "TLS of etcd needs endpoints of the form https://HOST:PORT");
        let store = Etcd::new(["http://127.0.0.1:1"], "").expect("a valid endpoint");
        let refused = store.list().await.map_err(error).expect_err("no server is there");
        assert!(refused.starts_with("etcd: Connection refused"), "{refused}");
        assert!(Postgres::new("mysql://db", "x").is_err());
        let store = Postgres::new("postgres://u@127.0.0.1:1/db", "x").expect("a valid URL");
        let refused = store.list().await.map_err(error).expect_err("no server is there");
        assert!(
            refused.starts_with("PostgreSQL: error connecting to server: Connection refused"),
            "{refused}"
        );
    });
}

/// Checks what [`Store`] promises.
pub(crate) async fn check(store: impl Store) {
    let store = Arc::new(store);
    let swap = async |key: &str, expected, value: Option<&str>| {
        store.swap(key, expected, value).await.expect("the store answers")
    };
    assert_eq!(store.list().await.expect("the store answers"), []);
    let Swap::Done(first) = swap("key", None, Some("1")).await else { panic!("it is new") };
    assert_eq!(swap("key", None, Some("2")).await, Swap::Conflict);
    assert_eq!(swap("key", Some(first + 1), Some("2")).await, Swap::Conflict);
    assert_eq!(swap("key", Some(first + 1), None).await, Swap::Conflict);
    assert_eq!(swap("key", None, None).await, Swap::Conflict);
    let Swap::Done(second) = swap("key", Some(first), Some("2")).await else { panic!("it is unchanged") };
    assert_eq!(swap("key", Some(first), Some("3")).await, Swap::Conflict);
    assert!(matches!(swap("other/key", None, Some("a\nb")).await, Swap::Done(_)));
    let mut entries = store.list().await.expect("the store answers");
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    let entries: Vec<_> = entries.iter().map(|entry| (&*entry.key, &*entry.value)).collect();
    assert_eq!(entries, [("key", "2"), ("other/key", "a\nb")]);
    // A key that is created again has another revision.
    assert!(matches!(swap("key", Some(second), None).await, Swap::Done(_)));
    assert!(matches!(swap("key", None, None).await, Swap::Done(_)));
    assert_eq!(swap("key", Some(second), Some("3")).await, Swap::Conflict);
    let Swap::Done(third) = swap("key", None, Some("2")).await else { panic!("it was deleted") };
    assert!(![first, second].contains(&third));
    // One of several swaps at the same time succeeds.
    let swaps: Vec<_> = (0..8)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.swap("key", Some(third), Some(&number.to_string())).await })
        })
        .collect();
    let mut done = 0;
    for swap in swaps {
        let swap = swap.await.expect("no panic").expect("the store answers");
        done += usize::from(swap != Swap::Conflict);
    }
    assert_eq!(done, 1);
    // A change is noticed. The first one may be made before the store watches.
    let watching = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.changed().await }
    });
    for number in 0.. {
        let key = format!("instances/{number}");
        assert!(matches!(swap(&key, None, Some("new")).await, Swap::Done(_)));
        if watching.is_finished() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
