//! The memory of replies that their clients do not read.

use crate::support::{Process, RawClient, eventually, info, line, lines, listed, request};

const MIB: usize = 1024 * 1024;

/// A redis-server with a string and a stream of 8 MiB, and a balancer in front of it.
struct Large {
    _redis: Process,
    balancer: Process,
}

impl Large {
    fn start() -> Self {
        let redis = Process::redis(&[]);
        let value = "x".repeat(8 * MIB);
        let mut client = RawClient::connect(redis.address());
        assert_eq!(client.ask(request(["SET", "large", &value])), "+OK\r\n");
        assert_eq!(client.ask(request(["XADD", "stream", "1-1", "field", &value])), "$3\r\n1-1\r\n");
        let balancer = Process::program_with("balancer", &[redis.address()]);
        Large { _redis: redis, balancer }
    }

    fn client(&self) -> RawClient {
        RawClient::connect(self.balancer.address())
    }

    /// Returns the peak of the memory in MiB.
    fn peak(&self) -> usize {
        self.balancer.peak_resident() / 1024
    }

    fn info(&self, section: &str) -> String {
        String::from_utf8_lossy(&self.client().ask(request(["INFO", section]))).into_owned()
    }
}

#[test]
fn a_few_requests_of_a_pipeline_are_sent_first() {
    let large = Large::start();
    let mut client = large.client();
    client.send(line("GET large").repeat(64));
    // The connection sends the replies to the first requests before the proxy sends the next ones.
    eventually(|| large.info("upstream").contains("upstream_commands:4\r\n").then_some(()));
    let peak = large.peak();
    assert!(peak < 100, "{peak} MiB for 64 replies of 8 MiB");
}

#[test]
fn replies_count_as_memory_of_their_client_while_they_arrive() {
    for [setting, limit] in [["maxmemory-clients", "20mb"], ["client-output-buffer-limit", "normal 20mb 0 0"]]
    {
        let large = Large::start();
        assert_eq!(large.client().ask(request(["CONFIG", "SET", setting, limit])), "+OK\r\n");
        let mut client = large.client();
        // The first part of the pipeline shows that the replies are small.
        client.send([line("GET none").repeat(64), line("GET large").repeat(64)].concat());
        let read = client.rest();
        assert!(read.len() <= 64 * 5, "{} bytes were sent with {setting}", read.len());
        let peak = large.peak();
        assert!(peak < 100, "{peak} MiB for 64 replies of 8 MiB with {setting}");
    }
}

#[test]
fn the_reply_to_a_blocking_command_counts_too() {
    let large = Large::start();
    assert_eq!(large.client().ask(request(["CONFIG", "SET", "maxmemory-clients", "4mb"])), "+OK\r\n");
    let mut client = large.client();
    client.send(line("XREAD STREAMS stream 0"));
    assert_eq!(client.rest(), "");
    assert!(large.info("stats").contains("evicted_clients:1\r\n"));
}

/// A balancer in front of a redis-server that is stopped, and of one that has a string of 8 MiB.
struct HalfSilent {
    silent: Process,
    talking: Process,
    balancer: Process,
    /// A key of the server that is stopped.
    small: String,
    /// The key of the string of 8 MiB.
    large: String,
}

impl HalfSilent {
    fn start() -> Self {
        let [silent, talking] = [Process::redis(&[]), Process::redis(&[])];
        let addresses = [silent.address(), talking.address()];
        let balancer =
            Process::program_with("balancer", &["--timeout", "600000", addresses[0], addresses[1]]);
        let mut client = RawClient::connect(balancer.address());
        let keys: Vec<String> = (0..40).map(|number| format!("key{number}")).collect();
        for key in &keys {
            assert_eq!(client.ask(request(["SET", key, "small"])), "+OK\r\n");
        }
        let [small, large] = addresses.map(|address| {
            let mut server = RawClient::connect(address);
            keys.iter()
                .find(|key| server.ask(request(["EXISTS", key])) == ":1\r\n")
                .cloned()
                .expect("each server has keys")
        });
        assert_eq!(client.ask(request(["SET", &large, &"x".repeat(8 * MIB)])), "+OK\r\n");
        silent.signal("STOP");
        HalfSilent { silent, talking, balancer, small, large }
    }

    fn client(&self) -> RawClient {
        RawClient::connect(self.balancer.address())
    }

    /// Returns requests whose large replies come before the small one that the client needs first.
    fn requests(&self) -> [Vec<u8>; 2] {
        let HalfSilent { small, large, .. } = self;
        let split = format!("MGET {small} {large} {large} {large}");
        let pipeline = format!("GET {small} \n GET {large} \n GET {large} \n GET {large}");
        [split, pipeline].map(|requests| lines(&requests))
    }

    fn kill(&self, id: u64) {
        let mut operator = self.client();
        assert_eq!(operator.ask(line(&format!("CLIENT KILL ID {id}"))), ":1\r\n");
        eventually(|| listed(&mut operator, id).is_none().then_some(()));
    }

    /// Checks that all connections to the servers still carry the right replies.
    fn assert_in_order(&self) {
        self.silent.signal("CONT");
        // The clients use different connections of the balancer.
        for _ in 0..8 {
            let mut client = self.client();
            assert_eq!(client.ask(request(["GET", &self.small])), "$5\r\nsmall\r\n");
            assert_eq!(client.ask(request(["STRLEN", &self.large])), ":8388608\r\n");
            let both = client.ask(request(["MGET", &self.small, &self.large]));
            assert!(both.starts_with(b"*2\r\n$5\r\nsmall\r\n$8388608\r\nx"));
        }
    }
}

#[test]
fn replies_are_freed_when_a_limit_closes_their_client() {
    let servers = HalfSilent::start();
    let mut operator = servers.client();
    assert_eq!(operator.ask(line("CONFIG SET maxmemory-clients 20mb")), "+OK\r\n");
    for requests in servers.requests() {
        for _ in 0..20 {
            let mut client = servers.client();
            client.send(&requests);
            assert_eq!(client.rest(), "");
        }
    }
    let peak = servers.balancer.peak_resident() / 1024;
    assert!(peak < 200, "{peak} MiB for 40 clients with 20 MiB each, one after the other");
    servers.assert_in_order();
}

#[test]
fn replies_are_freed_when_their_client_is_killed() {
    let servers = HalfSilent::start();
    let mut operator = servers.client();
    for requests in servers.requests() {
        for _ in 0..10 {
            let mut client = servers.client();
            let id = client.id();
            client.send(&requests);
            eventually(|| {
                (info(&mut operator, "memory").number("mem_clients_normal") > 23 << 20).then_some(())
            });
            servers.kill(id);
        }
    }
    let peak = servers.balancer.peak_resident() / 1024;
    assert!(peak < 200, "{peak} MiB for 20 clients with 24 MiB each, one after the other");
    servers.assert_in_order();
}

/// Their client is no longer there when the first of them arrives.
#[test]
fn replies_to_a_client_that_was_killed_are_discarded_in_any_order() {
    let servers = HalfSilent::start();
    servers.talking.signal("STOP");
    let HalfSilent { small, large, .. } = &servers;
    // After the reply to the first request, the first bytes of the reply to the third one make the proxy look for the client.
    let mixed = lines(&format!("GETRANGE {large} 0 65519 \n GET {small} \n GET {large}"));
    for requests in servers.requests().into_iter().chain([mixed]) {
        let mut client = servers.client();
        let id = client.id();
        let sent = || info(&mut servers.client(), "upstream").number("upstream_commands");
        let before = sent();
        client.send(&requests);
        eventually(|| (sent() > before).then_some(()));
        servers.kill(id);
    }
    servers.talking.signal("CONT");
    // These replies come after the large ones, on all connections. The stopped server comes last.
    for _ in 0..8 {
        assert_eq!(servers.client().ask(request(["STRLEN", &servers.large])), ":8388608\r\n");
    }
    servers.assert_in_order();
}
