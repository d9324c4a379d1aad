//! The balancer follows the master that Redis Sentinel names.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use thegiant::{Role, prelude::*, sentinel as facade};

use super::{fake::Fake, is_error, writers::Writers};
use crate::support::{
    Process, RawClient, RedisWithPort, Sentinel, Served, eventually, info, line, lines, request,
};

/// The time that requests wait for a new master, in ms. No request fails before the test does.
const LONG: &str = "120000";

const NAMED: &str = "SENTINEL GET-MASTER-ADDR-BY-NAME mymaster";

/// Makes a fake sentinel name a server.
fn name(sentinel: &Fake, server: &Fake) {
    let (host, port) = server.address().split_once(':').expect("a port");
    sentinel.reply(NAMED, &format!("*2\r\n${}\r\n{host}\r\n${}\r\n{port}", host.len(), port.len()));
}

/// A fake server that replies to `GET foo` with its name.
fn server(name: &str) -> Fake {
    let replies =
        [("ROLE", "*1\r\n$6\r\nmaster"), ("GET foo", name), ("SET foo 1", "+OK"), ("WATCH foo", "+OK")];
    Fake::start("127.0.0.1", replies)
}

fn before(sentinels: &[&str], options: &[&str]) -> (Process, RawClient) {
    let sentinels = format!("mymaster@{}", sentinels.join(","));
    let balancer = Process::program_with("balancer", &[&["--sentinel", &sentinels], options].concat());
    let client = RawClient::connect(balancer.address());
    (balancer, client)
}

#[test]
fn the_first_sentinel_that_knows_the_master_is_followed() {
    let [first, second] = ["+first", "+second"].map(server);
    let [ignorant, sentinel] = [(); 2].map(|()| Fake::start("127.0.0.1", [(NAMED, "*-1")]));
    name(&sentinel, &first);
    let sentinels = ["127.0.0.1:1", ignorant.address(), sentinel.address()];
    let (_balancer, mut client) = before(&sentinels, &[]);
    client.send(lines("GET foo \n SET foo 1 \n MULTI"));
    assert_eq!(client.replies(3), "+first\r\n+OK\r\n+OK\r\n");
    client.send(lines("DISCARD \n INFO upstream"));
    client.replies(2);
    name(&sentinel, &second);
    eventually(|| (client.ask(line("GET foo")) == "+second\r\n").then_some(()));
    assert_eq!(info(&mut client, "upstream").text("upstream_address"), second.address());
}

#[test]
fn a_server_that_says_it_is_a_replica_is_not_followed() {
    let [first, second] = ["+first", "+second"].map(server);
    second.reply("ROLE", "*1\r\n$5\r\nslave");
    let sentinel = Fake::start("127.0.0.1", []);
    name(&sentinel, &second);
    let (_balancer, mut client) = before(&[sentinel.address()], &[]);
    assert!(is_error(&client.ask(line("GET foo")), "UPSTREAMDOWN"));
    name(&sentinel, &first);
    eventually(|| (client.ask(line("GET foo")) == "+first\r\n").then_some(()));
    name(&sentinel, &second);
    let asked = second.count("ROLE");
    eventually(|| {
        assert_eq!(client.ask(line("GET foo")), "+first\r\n");
        (second.count("ROLE") > asked + 1).then_some(())
    });
    second.reply("ROLE", "*1\r\n$6\r\nmaster");
    eventually(|| (client.ask(line("GET foo")) == "+second\r\n").then_some(()));
}

#[test]
fn a_write_that_a_replica_refuses_goes_to_the_new_master() {
    const READONLY: &str = "-READONLY You can't write against a read only replica.";
    let [first, second] = ["+first", "+second"].map(server);
    let [stale, sentinel] = [(); 2].map(|()| Fake::start("127.0.0.1", []));
    [&stale, &sentinel].into_iter().for_each(|sentinel| name(sentinel, &first));
    let (_balancer, mut client) = before(&[stale.address(), sentinel.address()], &[]);
    assert_eq!(client.ask(line("GET foo")), "+first\r\n");
    first.reply("SET foo 1", READONLY);
    // As long as no sentinel knows another master, the client gets the error.
    assert_eq!(client.ask(line("SET foo 1")), format!("{READONLY}\r\n"));
    // The first sentinel still names the old master.
    name(&sentinel, &second);
    assert_eq!(client.ask(line("SET foo 1")), "+OK\r\n");
    assert_eq!(client.ask(line("GET foo")), "+second\r\n");
    assert_eq!(second.count("SET foo 1"), 1);
}

#[test]
fn requests_wait_for_the_new_master_for_a_bounded_time() {
    let [first, second] = ["+first", "+second"].map(server);
    let sentinel = Fake::start("127.0.0.1", []);
    name(&sentinel, &first);
    let (_short, mut impatient) = before(&[sentinel.address()], &["--failover-timeout", "200"]);
    let (long, mut client) = before(&[sentinel.address()], &["--failover-timeout", LONG]);
    for client in [&mut impatient, &mut client] {
        assert_eq!(client.ask(line("GET foo")), "+first\r\n");
    }
    drop(first);
    eventually(|| (info(&mut client, "upstream").number("upstream_connections") == 0).then_some(()));
    let mut watching = RawClient::connect(long.address());
    client.send(line("GET foo"));
    watching.send(line("WATCH foo"));
    eventually(|| is_error(&impatient.ask(line("GET foo")), "UPSTREAMDOWN").then_some(()));
    assert!(is_error(&impatient.ask(line("WATCH foo")), "UPSTREAMDOWN"));
    name(&sentinel, &second);
    assert_eq!(client.reply(), "+second\r\n");
    assert_eq!(watching.reply(), "+OK\r\n");
    assert_eq!(second.count("WATCH foo"), 1);
    eventually(|| (impatient.ask(line("GET foo")) == "+second\r\n").then_some(()));
}

/// A sentinel that counts how often it is asked for the master. `PUBLISH` reports a change.
struct Announcer {
    master: (String, String),
    asked: Arc<AtomicUsize>,
}

impl Actor for Announcer {
    type Context = Context<Self>;
}

#[commands]
impl Announcer {
    #[command("SENTINEL GET-MASTER-ADDR-BY-NAME")]
    fn master(&self, _name: &str) -> (String, String) {
        self.asked.fetch_add(1, Relaxed);
        self.master.clone()
    }
}

#[test]
fn a_reported_change_is_followed_at_once() {
    /// The balancer asks without a report as often as this.
    const EVERY: Duration = Duration::from_secs(1);
    let master = server("+first");
    let (host, port) = master.address().split_once(':').expect("a port");
    let (named, asked) = ((host.to_owned(), port.to_owned()), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&asked);
    let sentinel =
        Served::start(move || App::new().mount(Announcer { master: named, asked: counter }.start()));
    let (_balancer, _client) = before(&[sentinel.address()], &[]);
    let mut publisher = RawClient::connect(sentinel.address());
    let next_question = |before: usize| {
        eventually(|| Some(asked.load(Relaxed)).filter(|now| *now > before));
        Instant::now()
    };
    // A slow machine may delay some of the questions after a report, but no question without a report comes sooner.
    eventually(|| {
        let question = next_question(asked.load(Relaxed));
        let count = asked.load(Relaxed);
        publisher.ask(line("PUBLISH +switch-master mymaster"));
        (next_question(count) - question < EVERY).then_some(())
    });
}

#[test]
fn only_requests_in_flight_are_lost_in_a_failover() {
    let master = RedisWithPort::start(None);
    let replicas = [(); 2].map(|()| RedisWithPort::start(Some(&master)));
    eventually(|| (master.replicas() == replicas.len()).then_some(()));
    let sentinel = Sentinel::of(&master.address);
    let options = ["--failover-timeout", LONG, "--sentinel-password", "secret"];
    let (balancer, mut client) = before(&["127.0.0.1:1", &sentinel.address], &options);
    let follows = |client: &mut RawClient, address: &str| {
        eventually(|| {
            let upstream = info(client, "upstream");
            (upstream.get("upstream_address") == Some(address)).then_some(())
        });
    };
    let servers = [&master, &replicas[0], &replicas[1]];
    let at = |address: &str| servers.into_iter().find(|server| server.address == address).expect("a server");
    let mut last = String::new();
    let written = Writers::run(6, balancer.address(), |writers| {
        writers.lose();
        let second = sentinel.fail_over();
        follows(&mut client, &second);
        writers.go_on();
        // The other replica follows the new master, which dies.
        eventually(|| (at(&second).replicas() > 0).then_some(()));
        writers.lose();
        at(&second).process.signal("KILL");
        last = sentinel.master_after(&second);
        follows(&mut client, &last);
        writers.go_on();
    });
    let mut direct = at(&last).client();
    for (key, value) in written {
        let get = request(["GET", &key]);
        assert_eq!(direct.ask(&get), format!("${}\r\n{value}\r\n", value.len()));
        assert_eq!(client.ask(&get), direct.ask(&get));
    }
}

/// The keys of several servers, as in a common database.
#[derive(Clone, Default)]
struct Keys(Arc<Mutex<HashMap<Bytes, Bytes>>>);

impl Actor for Keys {
    type Context = Context<Self>;
}

#[commands]
impl Keys {
    /// Sets a value.
    #[command("SET", write)]
    fn set(&mut self, key: Key, value: Bytes) {
        self.0.lock().expect("no thread panics with the lock").insert(key.into(), value);
    }

    /// Returns a value.
    #[command("GET", readonly)]
    fn get(&self, key: Key<&[u8]>) -> Option<Bytes> {
        self.0.lock().expect("no thread panics with the lock").get(*key).cloned()
    }
}

/// The servers are of the toolkit, and each has a facade. No request is lost: a replica has run none that it refuses.
#[test]
fn the_master_that_a_facade_names_is_followed() {
    let keys = Keys::default();
    let facades = [1, 2].map(|port| facade::Sentinel::new("127.0.0.1", port));
    let served = [0, 1].map(|index: usize| {
        let (keys, facade) = (keys.clone(), facades[index].clone());
        Served::start(move || facade.mount(App::new()).mount(keys.start()))
    });
    let endpoint = |index: usize| {
        let (host, port) = served[index].address().split_once(':').expect("a port");
        (host.to_owned(), port.parse::<u16>().expect("a number"))
    };
    let switch = |to: usize| {
        let [(host, port), other] = [endpoint(to), endpoint(1 - to)];
        served[1 - to].handle().set_role(Role::replica_of(&host, port));
        served[to].handle().set_role(Role::Master);
        let master = facade::Master::new("mymaster", host, port).replicas([other]);
        facades.iter().for_each(|facade| facade.update(master.clone()));
    };
    switch(0);
    let sentinels: Vec<_> = served.iter().map(Served::address).collect();
    let (balancer, mut client) = before(&sentinels, &["--failover-timeout", LONG]);
    let written = Writers::run(6, balancer.address(), |writers| {
        for to in [1, 0, 1] {
            switch(to);
            eventually(|| {
                let upstream = info(&mut client, "upstream");
                (upstream.get("upstream_address") == Some(served[to].address())).then_some(())
            });
            writers.go_on();
        }
    });
    for (key, value) in written {
        let get = request(["GET", &key]);
        assert_eq!(client.ask(&get), format!("${}\r\n{value}\r\n", value.len()));
    }
}
