//! Upstreams that the application finds while the proxy runs.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use thegiant::{
    prelude::*,
    proxy::{Proxy, Route, Router, Servers, Upstream, UpstreamHandle, UpstreamRequest},
};

use super::server::Place;
use crate::support::{ANY_PORT, Process, RawClient, Served, eventually, info, line, request};

/// The address of the only server, if there is one.
type Address = Arc<Mutex<Option<String>>>;

/// Sends all requests to the server at an address.
struct At(Address);

impl Router for At {
    fn route(&mut self, _: &UpstreamRequest<'_>, _: &mut Servers) -> Route {
        Route::Any
    }

    fn update(&mut self, servers: &mut Servers) {
        if let Some(address) = &*self.0.lock().expect("no thread panics with the lock") {
            servers.find_or_add(address);
            servers.retain(|known| known == address);
        }
    }
}

/// Sets the address of the server.
struct Finder {
    address: Address,
    proxy: UpstreamHandle,
}

impl Actor for Finder {
    type Context = Context<Self>;
}

#[commands]
impl Finder {
    /// Uses the server at this address.
    #[command("FIND")]
    fn find(&self, address: String) -> actix::ResponseFuture<()> {
        *self.address.lock().expect("no thread panics with the lock") = Some(address);
        let proxy = self.proxy.clone();
        Box::pin(async move { proxy.update().await })
    }
}

fn serve(settings: Upstream) -> Served {
    let app = move || {
        let address = Address::default();
        let proxy = Proxy::new(At(Arc::clone(&address))).template(settings).start();
        App::new().mount(Finder { address, proxy: proxy.clone() }.start()).proxy(proxy)
    };
    Served::with(app, |server| server.bind(ANY_PORT))
}

fn find(client: &mut RawClient, address: &str) {
    assert_eq!(client.ask(request(["FIND", address])), "+OK\r\n");
}

#[test]
fn a_proxy_can_start_without_an_upstream() {
    let front = serve(Upstream::new("unused").password("secret"));
    let mut client = RawClient::connect(front.address());
    let down = "-UPSTREAMDOWN no upstream can be reached: the command was not sent\r\n";
    for request in ["GET name", "MULTI", "WATCH name", "BLPOP name 0"] {
        assert_eq!(client.ask(line(request)), down, "{request}");
    }
    let servers = ["one", "two", "three"].map(|name| {
        let redis = Process::redis(&["--requirepass", "secret"]);
        let mut direct = RawClient::connect(redis.address());
        assert_eq!(direct.ask(line("AUTH secret")), "+OK\r\n");
        direct.ask(request(["SET", "name", name]));
        (redis, format!("${}\r\n{name}\r\n", name.len()))
    });
    for (redis, name) in servers.iter().cycle().take(7) {
        find(&mut client, redis.address());
        assert_eq!(client.ask(line("GET name")), name);
        assert_eq!(info(&mut client, "upstream").text("upstream_address"), redis.address());
    }
    // A server that cannot be reached has its place taken, too.
    find(&mut client, "127.0.0.1:1");
    eventually(|| client.ask(line("GET name")).starts_with(b"-UPSTREAMDOWN ").then_some(()));
    find(&mut client, servers[0].0.address());
    assert_eq!(client.ask(line("GET name")), servers[0].1);
}

#[test]
fn requests_wait_for_an_upstream_that_is_not_down_yet() {
    let place = Place::new();
    let address = place.address();
    let upstream = Upstream::new(&address).down_after(Duration::from_secs(600));
    let front = Served::with(|| App::new().proxy(upstream.start()), |server| server.bind(ANY_PORT));
    let [mut clients @ .., mut dedicated] = [(); 4].map(|()| RawClient::connect(front.address()));
    clients.iter_mut().for_each(|client| client.send(line("OPEN")));
    dedicated.send(line("WATCH x"));
    let (upstream, _asks) = place.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.reply(), ":0\r\n"));
    assert_eq!(dedicated.reply(), "+OK\r\n");
    drop(upstream);
    clients.iter_mut().for_each(|client| client.send(line("OPEN")));
    let (_upstream, _asks) = place.open();
    for client in &mut clients {
        let reply = client.reply();
        assert!(reply == ":0\r\n" || reply.starts_with(b"-UPSTREAM "), "{reply:?}");
    }
}

#[test]
fn requests_that_wait_for_a_removed_server_go_to_its_successor() {
    let front = serve(Upstream::new("unused").down_after(Duration::from_secs(600)));
    let mut client = RawClient::connect(front.address());
    let [redis, next] = [(); 2].map(|()| Process::redis(&[]));
    find(&mut client, redis.address());
    assert_eq!(client.ask(line("DBSIZE")), ":0\r\n");
    redis.signal("KILL");
    let mut direct = RawClient::connect(next.address());
    direct.ask(line("SET name next"));
    let requests = ["GET name", "WATCH name", "BLPOP list 0", "MULTI"];
    let mut waiting = requests.map(|request| (RawClient::connect(front.address()), request));
    eventually(|| (info(&mut client, "upstream").number("upstream_connections") == 0).then_some(()));
    for (waiting, request) in &mut waiting {
        waiting.send(line(request));
    }
    let [get, watch, pop, transaction] = &mut waiting;
    // The server itself replies to requests that any upstream would queue.
    assert_eq!(transaction.0.reply(), "+OK\r\n");
    assert_eq!(transaction.0.ask(line("GET name")), "+QUEUED\r\n");
    transaction.0.send(line("EXEC"));
    // The server has one thread, so it has read the requests before it replies twice.
    for _ in 0..2 {
        client.id();
    }
    assert!([&get, &watch, &pop, &transaction].iter().all(|(client, _)| client.is_silent()));
    find(&mut client, next.address());
    assert_eq!(get.0.reply(), "$4\r\nnext\r\n");
    assert_eq!(watch.0.reply(), "+OK\r\n");
    assert_eq!(transaction.0.reply(), "*1\r\n$4\r\nnext\r\n");
    eventually(|| (info(&mut direct, "clients").number("blocked_clients") == 1).then_some(()));
    direct.ask(line("RPUSH list a"));
    assert_eq!(pop.0.reply(), "*2\r\n$4\r\nlist\r\n$1\r\na\r\n");
}
