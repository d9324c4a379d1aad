//! Starts both servers and sends them conversations.

use std::{
    io,
    time::{Duration, Instant},
};

use thegiant::{App, Bytes, proxy::Upstream};

use super::{
    deviations::{Deviation, Rule, Rules, is_message},
    script::{Conversation, Line},
};
use crate::support::{Folder, Process, RawClient, Reply, Served, line};

/// The protocol and the way to send a conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    pub(super) protocol: u8,
    pub(super) delivery: Delivery,
}

/// How the bytes of a conversation are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Delivery {
    /// Each request after the reply to the one before.
    InTurn,
    /// All requests in one write.
    Whole,
    /// Byte by byte; in a long conversation, in pieces of a few bytes.
    Bytes,
}

const VARIANTS: [Variant; 6] = [
    Variant { protocol: 2, delivery: Delivery::InTurn },
    Variant { protocol: 2, delivery: Delivery::Whole },
    Variant { protocol: 2, delivery: Delivery::Bytes },
    Variant { protocol: 3, delivery: Delivery::InTurn },
    Variant { protocol: 3, delivery: Delivery::Whole },
    Variant { protocol: 3, delivery: Delivery::Bytes },
];

/// Authenticates a client of servers with a password.
const AUTH: &str = "AUTH secret";

/// Makes a client a tenant.
const AS_TENANT: &str = "AUTH tenant x";

/// The keys of another tenant, with the names that most conversations use.
const KEYS_OF_OTHERS: [&str; 8] = ["a", "b", "c", "d", "k", "l", "x", "key"];

/// The compared server and redis-server, on sockets of the same name.
#[derive(Debug)]
pub(super) struct Pair {
    kv: Subject,
    redis: Process,
    clients: Clients,
}

/// How the clients of a pair log in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Clients {
    /// Not at all.
    Anonymous,
    /// Not at all, although the servers have a password.
    Unauthenticated,
    /// As a tenant of `kv`, and as a user of redis-server.
    Tenants,
}

/// The replies of both servers to a conversation, and the time from the first request to the last reply.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) kv: Vec<Bytes>,
    pub(super) redis: Vec<Bytes>,
    pub(super) took: Duration,
}

/// The server that is compared with redis-server.
#[derive(Debug)]
enum Subject {
    Example(Process),
    /// A proxy and the redis-server behind it.
    #[expect(dead_code, reason = "keeps the upstream and the folder alive")]
    Proxy(Served, Process, Folder),
    /// The example `balancer` and its three redis-servers.
    #[expect(dead_code, reason = "keeps the upstreams alive")]
    Balancer(Process, Vec<Process>),
}

impl Subject {
    fn address(&self) -> &str {
        match self {
            Subject::Example(process) | Subject::Balancer(process, _) => process.address(),
            Subject::Proxy(proxy, ..) => proxy.address(),
        }
    }
}

impl Pair {
    pub(super) fn start() -> Self {
        Self::of("kv", &[])
    }

    /// Compares an example that has the commands of `kv`.
    pub(super) fn of(example: &str, options: &[&str]) -> Self {
        let kv = Subject::Example(Process::program_like_redis(example, options));
        Pair { kv, redis: Process::redis(&[]), clients: Clients::Anonymous }.aligned()
    }

    /// Compares another redis-server behind [`App::proxy`].
    pub(super) fn proxied() -> Self {
        let upstream = Process::redis(&[]);
        let address = upstream.address().to_owned();
        let folder = Folder::new();
        let socket = folder.socket("proxy.sock");
        let app = || App::new().proxy(Upstream::new(address).start());
        let proxy = Served::with(app, move |server| server.bind(socket));
        let kv = Subject::Proxy(proxy, upstream, folder);
        Pair { kv, redis: Process::redis(&[]), clients: Clients::Anonymous }.aligned()
    }

    /// Compares three other redis-servers behind two threads of `balancer`.
    pub(super) fn balanced() -> Self {
        let upstreams: Vec<_> = (0..3).map(|_| Process::redis(&[])).collect();
        let addresses = upstreams.iter().map(Process::address);
        let options: Vec<_> = ["--threads", "2"].into_iter().chain(addresses).collect();
        let balancer = Process::program_like_redis("balancer", &options);
        Pair {
            kv: Subject::Balancer(balancer, upstreams),
            redis: Process::redis(&[]),
            clients: Clients::Anonymous,
        }
        .aligned()
    }

    /// Compares servers that require the password `secret`.
    pub(super) fn with_password(options: &[&str]) -> Self {
        let options = [&["--password", "secret"], options].concat();
        let kv = Subject::Example(Process::program_like_redis("kv", &options));
        let redis = Process::redis(&["--requirepass", "secret"]);
        Pair { kv, redis, clients: Clients::Unauthenticated }.aligned()
    }

    /// Compares a tenant of `kv`, where another tenant has keys of the same names, with the only user of a redis-server.
    pub(super) fn with_tenants(options: &[&str]) -> Self {
        let options = [&["--tenants"], options].concat();
        let kv = Subject::Example(Process::program_like_redis("kv", &options));
        let redis = Process::redis(&[]);
        for (address, users) in [(kv.address(), &["tenant", "other"][..]), (redis.address(), &["tenant"])] {
            let mut operator = RawClient::connect(address);
            for user in users {
                operator.ask(line(&format!("ACL SETUSER {user} on nopass ~* &* +@all")));
            }
        }
        let mut other = RawClient::connect(kv.address());
        other.ask(line("AUTH other x"));
        for key in KEYS_OF_OTHERS {
            other.ask(line(&format!("SET {key} other")));
        }
        Pair { kv, redis, clients: Clients::Tenants }.aligned()
    }

    /// Asserts that no conversation has changed keys of the other tenant.
    pub(super) fn assert_kept(&self) {
        if self.clients == Clients::Tenants {
            let mut other = RawClient::connect(self.kv.address());
            other.ask(line("AUTH other x"));
            let values = other.ask(line(&format!("MGET {}", KEYS_OF_OTHERS.join(" "))));
            let kept = "$5\r\nother\r\n".repeat(KEYS_OF_OTHERS.len());
            assert_eq!(values, format!("*{}\r\n{kept}", KEYS_OF_OTHERS.len()));
            assert_eq!(other.ask(line("DBSIZE")), format!(":{}\r\n", KEYS_OF_OTHERS.len()));
        }
    }

    /// Returns the rules for the comparison. A proxy keeps the order in which its upstream sends messages.
    pub(super) fn rules<'s>(&self, deviations: &[Deviation<'s>]) -> Rules<'s> {
        let rules = Rules::of(deviations);
        match self.kv {
            Subject::Example(_) => rules,
            Subject::Proxy(..) | Subject::Balancer(..) => rules.without(Rule::OwnMessages),
        }
    }

    pub(super) fn addresses(&self) -> [&str; 2] {
        [self.kv.address(), self.redis.address()]
    }

    /// Returns the variants of a conversation. An unauthenticated client speaks RESP2. Two clients send their
    /// requests in turn.
    pub(super) fn variants(&self, conversation: &Conversation<'_>) -> impl Iterator<Item = Variant> + use<> {
        let protocols = if self.clients == Clients::Unauthenticated { &VARIANTS[..3] } else { &VARIANTS };
        let has_other = conversation.has_other() || self.has_operator(conversation);
        protocols.iter().copied().filter(move |variant| !has_other || variant.delivery == Delivery::InTurn)
    }

    /// Returns whether an operator has to send some of the requests, because a tenant may not.
    fn has_operator(&self, conversation: &Conversation<'_>) -> bool {
        self.clients == Clients::Tenants && conversation.lines.iter().any(Line::is_for_operators)
    }

    /// Makes the next client of both servers have the same ID, because some replies contain it.
    ///
    /// Redis does not delay logins after failures. The toolkit measures no latencies by default, and no command of Redis is slow, however
    /// busy the machine is.
    fn aligned(self) -> Self {
        let settings = [
            (self.kv.address(), "auth-delay 0"),
            (self.redis.address(), "slowlog-log-slower-than 3600000000"),
        ];
        for (address, setting) in settings {
            let mut operator = RawClient::connect(address);
            if self.clients == Clients::Unauthenticated {
                operator.ask(line(AUTH));
            }
            assert_eq!(operator.ask(line(&format!("CONFIG SET {setting}"))), "+OK\r\n");
            operator.ask(line("CONFIG RESETSTAT"));
        }
        let next = |address: &str| {
            let mut client = RawClient::connect(address);
            if self.clients == Clients::Unauthenticated {
                client.ask(line(AUTH));
            }
            id(&mut client)
        };
        let (mut kv, mut redis) = (next(self.kv.address()), next(self.redis.address()));
        while kv != redis {
            if kv < redis {
                kv = next(self.kv.address());
            } else {
                redis = next(self.redis.address());
            }
        }
        self
    }

    /// Returns the replies of `kv` and of redis-server: one per request until the connection ends, then the
    /// rest.
    pub(super) fn answers(&self, conversation: &Conversation<'_>, variant: Variant) -> Answers {
        let started = Instant::now();
        let [kv, redis] = self.addresses().map(|address| {
            let mut client = RawClient::connect(address);
            let mut other = conversation.has_other().then(|| RawClient::connect(address));
            let mut operator = self.has_operator(conversation).then(|| RawClient::connect(address));
            if self.clients == Clients::Tenants {
                for client in [Some(&mut client), other.as_mut()].into_iter().flatten() {
                    client.ask(line(AS_TENANT));
                }
            }
            let is_unauthenticated = self.clients == Clients::Unauthenticated;
            let id = if is_unauthenticated { 0 } else { prepare(&mut client, variant.protocol) };
            let ids = [id, other.as_mut().map_or(0, self::id)];
            let mut answers = match variant.delivery {
                Delivery::InTurn => {
                    in_turn(&mut client, other.as_mut(), operator.as_mut(), conversation, ids)
                }
                delivery => at_once(&mut client, conversation, ids, delivery),
            };
            for mut client in [client].into_iter().chain(other) {
                client.half_close();
                answers.push(client.rest());
            }
            answers
        });
        Answers { kv, redis, took: started.elapsed() }
    }
}

/// Clears the keys, sets the protocol, and returns the client's ID.
fn prepare(client: &mut RawClient, protocol: u8) -> i64 {
    client.ask(line("FLUSHALL"));
    if protocol == 3 {
        client.ask(line("HELLO 3"));
    }
    id(client)
}

fn id(client: &mut RawClient) -> i64 {
    match Reply::only(&client.ask(line("CLIENT ID"))) {
        Some(Reply::Integer(id)) => id,
        other => panic!("{other:?} is not a client ID"),
    }
}

pub(super) fn in_turn(
    client: &mut RawClient,
    mut other: Option<&mut RawClient>,
    mut operator: Option<&mut RawClient>,
    conversation: &Conversation<'_>,
    ids: [i64; 2],
) -> Vec<Bytes> {
    let mut replies = Vec::new();
    for line in &conversation.lines {
        let bytes = line.bytes(ids[0], ids[1]);
        let operator = operator.as_deref_mut().filter(|_| line.is_for_operators());
        let sender = operator.or(other.as_deref_mut().filter(|_| line.is_of_other)).unwrap_or(client);
        let reply = sender.while_sending(&[&bytes], |client| (!line.is_raw).then(|| answer(client)));
        match reply {
            Some(Ok(reply)) => replies.push(reply),
            Some(Err(_)) => break,
            None => {}
        }
    }
    replies
}

/// Reads the next reply, with the messages and invalidations before it.
fn answer(client: &mut RawClient) -> io::Result<Bytes> {
    const PUSHES: [&[u8]; 2] = [b">2\r\n$10\r\ninvalidate\r\n", b">2\r\n$21\r\ntracking-redir-broken\r\n"];
    let mut all = Vec::new();
    loop {
        let reply = client.try_reply()?;
        all.extend_from_slice(&reply);
        if !is_message(&reply) && !PUSHES.iter().any(|push| reply.starts_with(push)) {
            return Ok(all.into());
        }
    }
}

fn at_once(
    client: &mut RawClient,
    conversation: &Conversation<'_>,
    ids: [i64; 2],
    delivery: Delivery,
) -> Vec<Bytes> {
    const MAX_PIECES: usize = 4096;
    let lines: Vec<_> = conversation.lines.iter().map(|line| line.bytes(ids[0], ids[1])).collect();
    let bytes = lines.concat();
    let piece = if delivery == Delivery::Whole { bytes.len() } else { bytes.len() / MAX_PIECES + 1 };
    let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
    client
        .while_sending(&pieces, |client| conversation.requests().map_while(|_| answer(client).ok()).collect())
}
