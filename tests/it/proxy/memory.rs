//! The memory of replies that their clients do not read.

use crate::support::{Process, RawClient, eventually, line, request};

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
