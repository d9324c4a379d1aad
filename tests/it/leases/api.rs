//! Members in the process of the test.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Barrier, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use actix::System;
use thegiant::{ServerHandle, cluster::Cluster, prelude::*};
use thegiant_cluster::{Member, Members, MemoryStore, Partitions, Store, Swap};
use tokio::sync::watch;

use super::NOT_SERVED;
use crate::support::{ANY_PORT, RawClient, eventually, line};

/// Long enough that no member loses it on a busy machine.
const LEASE: Duration = Duration::from_secs(10);

/// Ends the command `BLOCK`.
static BLOCKED: Barrier = Barrier::new(2);

struct Values;

impl Actor for Values {
    type Context = Context<Self>;
}

#[commands]
impl Values {
    /// Blocks the thread of the actor, which is that of the member, until the test ends it.
    #[command("BLOCK", readonly)]
    fn block(&self) -> Simple {
        BLOCKED.wait();
        Simple("unblocked")
    }

    /// Replies if this instance serves the key.
    #[command("GET", readonly)]
    fn get(&self, _key: Key<&[u8]>) -> Simple {
        Simple("served")
    }
}

/// The partitions that are open, and the epochs in which they were opened.
#[derive(Clone, Default)]
struct Opened(Arc<Mutex<BTreeSet<(u16, u64)>>>);

/// Fails at this partition.
struct State {
    opened: Opened,
    wrong: Option<u16>,
}

impl Partitions for State {
    async fn open(&self, partition: u16, epoch: u64) -> io::Result<()> {
        if self.wrong == Some(partition) {
            return Err(io::Error::other("the state is damaged"));
        }
        assert!(self.opened.0.lock().expect("no panic").insert((partition, epoch)));
        Ok(())
    }

    async fn close(&self, partition: u16) {
        self.opened.0.lock().expect("no panic").retain(|(open, _)| *open != partition);
    }
}

/// A server that is a member.
struct Running {
    address: String,
    handle: ServerHandle,
    opened: Opened,
    members: watch::Receiver<Arc<Members>>,
    thread: JoinHandle<io::Result<()>>,
}

impl Running {
    fn start(store: &MemoryStore, name: &'static str, wrong: Option<u16>) -> Self {
        Self::with(store, name, wrong, |member| member)
    }

    fn with(
        store: &MemoryStore,
        name: &'static str,
        wrong: Option<u16>,
        configure: impl FnOnce(Member) -> Member + Send + 'static,
    ) -> Self {
        let (started, start) = mpsc::channel();
        let (store, opened) = (store.clone(), Opened::default());
        let state = State { opened: opened.clone(), wrong };
        let thread = thread::spawn(move || {
            System::new().block_on(async move {
                let app = || App::new().mount(Values.start());
                let server = Server::new(app)
                    .workers(2)
                    .disable_signals()
                    .cluster(Cluster::member(name))?
                    .bind(ANY_PORT)?;
                let address = server.addrs()[0].to_string();
                let member = configure(Member::new(store, name, &address).partitions(4).lease(LEASE));
                started.send((address, server.handle(), member.members())).expect("the test waits");
                member.run(server, state).await
            })
        });
        let (address, handle, members) = start.recv().expect("it starts");
        Running { address, handle, opened, members, thread }
    }

    fn opened(&self) -> Vec<(u16, u64)> {
        self.opened.0.lock().expect("no panic").iter().copied().collect()
    }

    fn wait_for(&self, opened: &[(u16, u64)]) {
        eventually(|| (self.opened() == opened).then_some(()));
    }

    fn ended(self) -> io::Result<()> {
        self.thread.join().expect("it does not panic")
    }

    fn stop(self) -> io::Result<()> {
        self.handle.stop();
        self.ended()
    }
}

fn owners(members: &Members) -> String {
    (0..members.partitions()).filter_map(|partition| Some(members.owner(partition)?.name())).collect()
}

#[test]
fn members_share_the_partitions_and_give_them_back() {
    let store = MemoryStore::new();
    let a = Running::start(&store, "a", None);
    a.wait_for(&[(0, 1), (1, 1), (2, 1), (3, 1)]);
    let b = Running::start(&store, "b", None);
    b.wait_for(&[(2, 3), (3, 3)]);
    a.wait_for(&[(0, 1), (1, 1)]);
    eventually(|| (owners(&b.members.borrow()) == "aabb").then_some(()));
    let members = b.members.borrow().clone();
    let names: Vec<_> = members.instances().iter().map(|one| (one.name(), one.address())).collect();
    assert_eq!(names, [("a", &*a.address), ("b", &*b.address)]);
    assert_eq!((members.version(), members.epoch(0), members.epoch(3)), (3, Some(1), Some(3)));
    // A client that is connected is no reason to stop at once.
    let mut client = RawClient::connect(&a.address);
    client.ask(line("SUBSCRIBE news"));
    a.stop().expect("it leaves");
    b.wait_for(&[(0, 4), (1, 4), (2, 3), (3, 3)]);
    let opened = b.opened.clone();
    b.stop().expect("it leaves");
    assert!(opened.0.lock().expect("no panic").is_empty(), "a member that leaves closes its partitions");
}

#[test]
fn clients_are_redirected_to_the_owner() {
    let store = MemoryStore::new();
    let a = Running::start(&store, "a", None);
    a.wait_for(&[(0, 1), (1, 1), (2, 1), (3, 1)]);
    let b = Running::start(&store, "b", None);
    b.wait_for(&[(2, 3), (3, 3)]);
    // Slot 12182.
    let moved = format!("-MOVED 12182 {}\r\n", b.address);
    let ask = |running: &Running| RawClient::connect(&running.address).ask(line("GET foo"));
    eventually(|| (ask(&a) == moved && ask(&b) == "+served\r\n").then_some(()));
    a.stop().expect("it leaves");
    b.stop().expect("it leaves");
}

/// One thread is blocked, so that no heartbeat is sent. The connections of the other one would be served on.
#[test]
fn nothing_is_served_after_the_lease_while_the_event_loop_is_blocked() {
    let store = MemoryStore::new();
    let a = Running::with(&store, "a", None, |member| member.lease(Duration::from_secs(2)));
    a.wait_for(&[(0, 1), (1, 1), (2, 1), (3, 1)]);
    let mut clients = [(); 3].map(|()| RawClient::connect(&a.address));
    for client in &mut clients {
        eventually(|| client.ask(line("SSUBSCRIBE {foo}1")).starts_with(b"*3").then_some(()));
    }
    let mut blocker = RawClient::connect(&a.address);
    blocker.send(line("BLOCK"));
    let (stop, stopped) = mpsc::channel();
    // One of them is with the other thread.
    for mut client in clients {
        let stop = stop.clone();
        thread::spawn(move || {
            eventually(|| (client.ask(line("SSUBSCRIBE {foo}2")) == NOT_SERVED).then_some(()));
            // The test waits for the first one only.
            let _ = stop.send(());
        });
    }
    stopped.recv().expect("it is not served");
    BLOCKED.wait();
    let mut client = RawClient::connect(&a.address);
    eventually(|| (client.ask(line("GET foo")) == "+served\r\n").then_some(()));
    assert_eq!(a.opened().len(), 4);
    a.stop().expect("it leaves");
}

#[test]
fn an_error_of_the_application_ends_the_member_and_the_server() {
    let store = MemoryStore::new();
    let a = Running::start(&store, "a", Some(2));
    let error = a.ended().expect_err("a partition is damaged");
    assert_eq!(error.to_string(), "the state is damaged");
    let entries = block_on(store.list()).expect("the store answers");
    let keys: Vec<_> = entries.iter().map(|entry| &*entry.key).collect();
    assert_eq!(keys, ["topology"], "it has left, so that others need not wait for the end of its lease");
}

#[test]
fn another_number_of_partitions_is_an_error() {
    let store = MemoryStore::new();
    let a = Running::start(&store, "a", None);
    a.wait_for(&[(0, 1), (1, 1), (2, 1), (3, 1)]);
    let b = Running::with(&store, "b", None, |member| member.partitions(5));
    let error = b.ended().expect_err("it has another number");
    let expected = "the members of the cluster have 4 partitions, and this one has 5: \
                    give it the same number, which cannot be changed";
    assert_eq!(error.to_string(), expected);
    a.stop().expect("it leaves");
}

#[test]
fn a_second_process_with_the_same_name_ends() {
    let store = MemoryStore::new();
    let short = |member: Member| member.lease(Duration::from_secs(3));
    let a = Running::with(&store, "a", None, short);
    a.wait_for(&[(0, 1), (1, 1), (2, 1), (3, 1)]);
    let error = Running::with(&store, "a", None, short).ended().expect_err("the name is in use");
    assert_eq!(
        error.to_string(),
        "another process is a member with the name \"a\": give each process its own name"
    );
    assert_eq!(a.opened().len(), 4);
    a.stop().expect("it leaves");
}

#[test]
fn entries_of_others_are_an_error() {
    let store = MemoryStore::new();
    let swap = block_on(store.swap("topology", None, Some("x"))).expect("the store answers");
    assert!(matches!(swap, Swap::Done(_)));
    let error = Running::start(&store, "a", None).ended().expect_err("the topology is wrong");
    let expected =
        "the value of the key \"topology\" in the store is wrong: the first line is not \"version N\"";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn wrong_settings_are_errors() {
    let mistake = |name, configure: fn(Member) -> Member| {
        Running::with(&MemoryStore::new(), name, None, configure).ended().expect_err("a mistake").to_string()
    };
    assert_eq!(
        mistake("a b", |member| member),
        "the name \"a b\" has other characters than letters, digits, '-', '_' and '.'"
    );
    assert_eq!(
        mistake("a", |member| member.partitions(0)),
        "0 partitions are not possible: give a number from 1 to 16384"
    );
    assert_eq!(
        mistake("a", |member| member.lease(Duration::from_millis(1))),
        "a lease of 1ms is too short: give at least 100ms"
    );
    let result = System::new().block_on(async {
        let server = Server::new(App::new).bind(ANY_PORT)?;
        let state = State { opened: Opened::default(), wrong: None };
        Member::new(MemoryStore::new(), "a", "10.0.0.1:1").run(server, state).await
    });
    assert_eq!(
        result.expect_err("the server has no cluster").to_string(),
        "the server is no instance of a cluster: give it a topology with Server::cluster first"
    );
    let result = System::new().block_on(async {
        let server = Server::new(App::new).cluster(Cluster::member("a"))?.bind(ANY_PORT)?;
        let state = State { opened: Opened::default(), wrong: None };
        Member::new(MemoryStore::new(), "b", "10.0.0.1:1").run(server, state).await
    });
    assert_eq!(
        result.expect_err("the names differ").to_string(),
        "the server is not the instance \"b\" of its cluster: give Cluster::member the name of the member"
    );
    let result = System::new().block_on(async {
        let server = Server::new(App::new).cluster(Cluster::member("a"))?.bind(ANY_PORT)?;
        let state = State { opened: Opened::default(), wrong: None };
        Member::new(MemoryStore::new(), "a", ":6380").run(server, state).await
    });
    assert_eq!(
        result.expect_err("it has no host").to_string(),
        "the address \":6380\" has no host: give the one that clients and other members connect to"
    );
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}
