//! One client's requests exceed limits of the upstream, which closes connections over that. Others do not suffer.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use super::server::proxy;
use crate::support::{Process, RawClient, info, line, lines, request};

/// Minimum number of requests of a bystander.
const REQUESTS: usize = 2000;

/// How often the attacker exceeds a limit. Nobody reads what the upstream logs about that, so it must fit into a pipe.
const ATTACKS: usize = 50;

/// Has an upstream attacked whose limits are set after the proxy has connected. Returns how many requests of a bystander
/// fail of how many.
fn attacked(limit: [&str; 2], prepare: &[u8], attack: &[u8]) -> (usize, usize) {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let mut bystander = RawClient::connect(proxy.address());
    assert_eq!(bystander.ask(line("SET key 0")), "+OK\r\n");
    let mut operator = RawClient::connect(redis.address());
    operator.ask(prepare);
    assert_eq!(operator.ask(request([&["CONFIG", "SET"], &limit[..]].concat())), "+OK\r\n");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _over = Over(&is_over);
            let mut attacker = RawClient::connect(proxy.address());
            for _ in 0..ATTACKS {
                let reply = attacker.while_sending(&[attack], |client| client.reply());
                assert!(reply.starts_with(b"-"), "an attack has worked");
            }
        });
        let (mut failed, mut asked) = (0, 0);
        while asked < REQUESTS || !is_over.load(SeqCst) {
            let reply = bystander.ask(line("INCR key"));
            assert!(reply.starts_with(b":") || reply.starts_with(b"-UPSTREAM "), "{reply:?}");
            failed += usize::from(reply.starts_with(b"-"));
            asked += 1;
        }
        (failed, asked)
    })
}

/// The attack is over when this is dropped, also when an assertion fails.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn a_value_over_the_limit_harms_nobody_else() {
    let attack = request(["SET", "large", &"x".repeat(1_100_000)]);
    let (failed, _) = attacked(["proto-max-bulk-len", "1mb"], &line("PING"), &attack);
    assert_eq!(failed, 0);
}

#[test]
fn a_request_over_the_limit_of_the_query_buffer_harms_nobody_else() {
    let attack = request(["SET", "large", &"x".repeat(1_100_000)]);
    let (failed, _) = attacked(["client-query-buffer-limit", "1mb"], &line("PING"), &attack);
    assert_eq!(failed, 0);
}

#[test]
fn a_reply_over_the_limit_harms_others_a_few_times() {
    let limit = ["client-output-buffer-limit", "normal 5mb 0 0"];
    let large = request(["SET", "large", &"x".repeat(1_000_000)]);
    let words: Vec<_> = ["MGET"].into_iter().chain((0..30).map(|_| "large")).collect();
    let (failed, asked) = attacked(limit, &large, &request(words));
    assert!(failed * 100 < asked, "{failed} of {asked}");
}

#[test]
fn large_requests_keep_their_place() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let mut client = RawClient::connect(proxy.address());
    let large = request(["SET", "a", &"x".repeat(2_000_000)]);
    let requests =
        [&lines("SET a 1 \n GET a")[..], &large, &lines("STRLEN a \n SET a 2"), &large, &line("STRLEN a")];
    // The same in a transaction.
    let transaction = [&line("MULTI")[..], &large, &lines("STRLEN a \n EXEC \n GET none")];
    let requests = [&requests[..], &transaction[..]].concat();
    let replies = client.while_sending(&requests, |client| client.replies(12));
    let expected = "+OK\r\n$1\r\n1\r\n+OK\r\n:2000000\r\n+OK\r\n+OK\r\n:2000000\r\n";
    let queued = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:2000000\r\n$-1\r\n";
    assert_eq!(replies, [expected, queued].concat());
    assert_eq!(info(&mut client, "upstream").number("upstream_private_connections"), 0);
}

#[test]
fn connections_that_are_lost_again_and_again_are_opened_again() {
    let redis = Process::redis(&[]);
    let proxy = proxy(redis.address(), |upstream| upstream);
    let [mut client, mut operator] = [proxy.address(), redis.address()].map(RawClient::connect);
    for _ in 0..10 {
        assert_eq!(client.ask(line("SET a 1")), "+OK\r\n");
        assert_eq!(operator.ask(line("CLIENT KILL TYPE normal")), ":1\r\n");
        // The request may be sent before the end of the connection is seen.
        let reply = client.ask(line("GET a"));
        assert!(reply == "$1\r\n1\r\n" || reply.starts_with(b"-UPSTREAM "), "{reply:?}");
    }
    assert_eq!(info(&mut client, "upstream").number("upstream_commands_unsent"), 0);
}
