//! Both servers, and the ways to send them a conversation.

use std::io;

use thegiant::{App, Bytes, Upstream};

use super::script::Conversation;
use crate::support::{Folder, Process, RawClient, Reply, Served, line};

/// How a conversation becomes a sequence of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    pub(super) protocol: u8,
    pub(super) way: Way,
}

/// How it is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// Each request when the one before has been answered.
    InTurn,
    /// All at once.
    Whole,
    /// A byte at a time; of a long conversation some bytes at a time.
    Bytes,
}

const VARIANTS: [Variant; 6] = [
    Variant { protocol: 2, way: Way::InTurn },
    Variant { protocol: 2, way: Way::Whole },
    Variant { protocol: 2, way: Way::Bytes },
    Variant { protocol: 3, way: Way::InTurn },
    Variant { protocol: 3, way: Way::Whole },
    Variant { protocol: 3, way: Way::Bytes },
];

/// What to ask first of servers with a password.
const AUTH: &str = "AUTH secret";

/// `kv` and redis-server, on sockets of the same name.
#[derive(Debug)]
pub(super) struct Pair {
    kv: Subject,
    redis: Process,
    has_password: bool,
}

/// What is compared with redis-server.
#[derive(Debug)]
enum Subject {
    Example(Process),
    /// Another redis-server, and what is in front of it.
    #[expect(dead_code, reason = "what it needs is there as long as it is")]
    Proxy(Served, Process, Folder),
    /// The same of three.
    #[expect(dead_code, reason = "what it needs is there as long as it is")]
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

    /// Another example with the commands of `kv`.
    pub(super) fn of(example: &str, options: &[&str]) -> Self {
        let kv = Subject::Example(Process::program_like_redis(example, options));
        Pair { kv, redis: Process::redis(&[]), has_password: false }.aligned()
    }

    /// Another redis-server, by way of [`App::proxy`].
    pub(super) fn proxied() -> Self {
        let upstream = Process::redis(&[]);
        let address = upstream.address().to_owned();
        let folder = Folder::new();
        let socket = folder.socket("proxy.sock");
        let app = || App::new().proxy(Upstream::new(address).start());
        let proxy = Served::with(app, move |server| server.bind(socket));
        let kv = Subject::Proxy(proxy, upstream, folder);
        Pair { kv, redis: Process::redis(&[]), has_password: false }.aligned()
    }

    /// Three other redis-servers, by way of the example `balancer`.
    pub(super) fn balanced() -> Self {
        let upstreams: Vec<_> = (0..3).map(|_| Process::redis(&[])).collect();
        let addresses: Vec<_> = upstreams.iter().map(Process::address).collect();
        let balancer = Process::program_like_redis("balancer", &addresses);
        Pair { kv: Subject::Balancer(balancer, upstreams), redis: Process::redis(&[]), has_password: false }
            .aligned()
    }

    /// Both want the password `secret`.
    pub(super) fn with_password() -> Self {
        let kv = Subject::Example(Process::program_like_redis("kv", &["--password", "secret"]));
        let redis = Process::redis(&["--requirepass", "secret"]);
        Pair { kv, redis, has_password: true }.aligned()
    }

    pub(super) fn addresses(&self) -> [&str; 2] {
        [self.kv.address(), self.redis.address()]
    }

    /// The ways to send a conversation. A client that is not known yet speaks RESP2; two clients speak in turn.
    pub(super) fn variants(&self, conversation: &Conversation<'_>) -> impl Iterator<Item = Variant> + use<> {
        let known = if self.has_password { &VARIANTS[..3] } else { &VARIANTS };
        let has_other = conversation.has_other();
        known.iter().copied().filter(move |variant| !has_other || variant.way == Way::InTurn)
    }

    /// Lets the next client of each have the same number: it is in some replies.
    fn aligned(self) -> Self {
        let next = |address: &str| {
            let mut client = RawClient::connect(address);
            if self.has_password {
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

    /// All that `kv` says in a conversation, and all that redis-server does: a reply per request,
    /// unless the connection ends before, then the rest.
    pub(super) fn answers(&self, conversation: &Conversation<'_>, variant: Variant) -> [Vec<Bytes>; 2] {
        let [kv, redis] = self.addresses().map(|address| {
            let mut client = RawClient::connect(address);
            let id = if self.has_password { 0 } else { prepare(&mut client, variant.protocol) };
            let mut other = conversation.has_other().then(|| RawClient::connect(address));
            let ids = [id, other.as_mut().map_or(0, self::id)];
            let mut answers = match variant.way {
                Way::InTurn => in_turn(&mut client, other.as_mut(), conversation, ids),
                way => at_once(&mut client, conversation, ids, way),
            };
            for mut client in [client].into_iter().chain(other) {
                client.half_close();
                answers.push(client.rest());
            }
            answers
        });
        [kv, redis.iter().map(as_told_by_kv).collect()]
    }
}

/// Clears the keys, chooses the protocol, and asks for the number of the client.
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
        other => panic!("{other:?} is no number of a client"),
    }
}

pub(super) fn in_turn(
    client: &mut RawClient,
    mut other: Option<&mut RawClient>,
    conversation: &Conversation<'_>,
    ids: [i64; 2],
) -> Vec<Bytes> {
    let mut replies = Vec::new();
    for line in &conversation.lines {
        let bytes = line.bytes(ids[0], ids[1]);
        let speaker = other.as_deref_mut().filter(|_| line.is_of_other).unwrap_or(client);
        let reply = speaker.while_sending(&[&bytes], |client| (!line.is_raw).then(|| answer(client)));
        match reply {
            Some(Ok(reply)) => replies.push(reply),
            Some(Err(_)) => break,
            None => {}
        }
    }
    replies
}

/// With the version of Redis that `kv` tells of, where redis-server tells its own.
fn as_told_by_kv(answer: &Bytes) -> Bytes {
    const OWN: &[u8] = b"version\r\n$6\r\n7.0.15\r\n";
    const TOLD: &[u8] = b"version\r\n$5\r\n7.4.0\r\n";
    let Some(at) = answer.windows(OWN.len()).position(|part| part == OWN) else { return answer.clone() };
    let (before, rest) = answer.split_at(at);
    let behind = as_told_by_kv(&answer.slice_ref(&rest[OWN.len()..]));
    [before, TOLD, &behind].concat().into()
}

/// The next reply, with what is told of keys before it.
fn answer(client: &mut RawClient) -> io::Result<Bytes> {
    const TOLD: [&[u8]; 2] = [b">2\r\n$10\r\ninvalidate\r\n", b">2\r\n$21\r\ntracking-redir-broken\r\n"];
    let mut all = Vec::new();
    loop {
        let reply = client.try_reply()?;
        all.extend_from_slice(&reply);
        if !TOLD.iter().any(|told| reply.starts_with(told)) {
            return Ok(all.into());
        }
    }
}

fn at_once(client: &mut RawClient, conversation: &Conversation<'_>, ids: [i64; 2], way: Way) -> Vec<Bytes> {
    const MOST_PIECES: usize = 4096;
    let bytes: Vec<u8> = conversation.lines.iter().flat_map(|line| line.bytes(ids[0], ids[1])).collect();
    let piece = if way == Way::Whole { bytes.len() } else { bytes.len() / MOST_PIECES + 1 };
    let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
    client
        .while_sending(&pieces, |client| conversation.requests().map_while(|_| answer(client).ok()).collect())
}
