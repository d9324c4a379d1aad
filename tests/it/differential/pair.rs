//! Both servers, and the ways to send them a conversation.

use thegiant::Bytes;

use super::script::Conversation;
use crate::support::{Process, RawClient, Reply, line};

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
    kv: Process,
    redis: Process,
    has_password: bool,
}

impl Pair {
    pub(super) fn start() -> Self {
        let (kv, redis) = (Process::example_like_redis("kv", &[]), Process::redis(&[]));
        Pair { kv, redis, has_password: false }.aligned()
    }

    /// Both want the password `secret`.
    pub(super) fn with_password() -> Self {
        let kv = Process::example_like_redis("kv", &["--password", "secret"]);
        let redis = Process::redis(&["--requirepass", "secret"]);
        Pair { kv, redis, has_password: true }.aligned()
    }

    pub(super) fn addresses(&self) -> [&str; 2] {
        [self.kv.address(), self.redis.address()]
    }

    /// The ways to send a conversation. A client that is not known yet speaks RESP2.
    pub(super) fn variants(&self) -> &'static [Variant] {
        if self.has_password { &VARIANTS[..3] } else { &VARIANTS }
    }

    /// Lets the next client of each have the same number: it is in some replies.
    fn aligned(self) -> Self {
        let next = |server: &Process| {
            let mut client = RawClient::connect(server.address());
            if self.has_password {
                client.ask(line(AUTH));
            }
            id(&mut client)
        };
        let (mut kv, mut redis) = (next(&self.kv), next(&self.redis));
        while kv != redis {
            if kv < redis {
                kv = next(&self.kv);
            } else {
                redis = next(&self.redis);
            }
        }
        self
    }

    /// All that `kv` says in a conversation, and all that redis-server does: a reply per request,
    /// unless the connection ends before, then the rest.
    pub(super) fn answers(&self, conversation: &Conversation<'_>, variant: Variant) -> [Vec<Bytes>; 2] {
        [&self.kv, &self.redis].map(|server| {
            let mut client = RawClient::connect(server.address());
            let id = if self.has_password { 0 } else { prepare(&mut client, variant.protocol) };
            let mut answers = match variant.way {
                Way::InTurn => in_turn(&mut client, conversation, id),
                way => at_once(&mut client, conversation, id, way),
            };
            client.half_close();
            answers.push(client.rest());
            answers
        })
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

pub(super) fn in_turn(client: &mut RawClient, conversation: &Conversation<'_>, id: i64) -> Vec<Bytes> {
    let mut replies = Vec::new();
    for line in &conversation.lines {
        let bytes = line.bytes(id);
        let reply = client.while_sending(&[&bytes], |client| (!line.is_raw).then(|| client.try_reply()));
        match reply {
            Some(Ok(reply)) => replies.push(reply),
            Some(Err(_)) => break,
            None => {}
        }
    }
    replies
}

fn at_once(client: &mut RawClient, conversation: &Conversation<'_>, id: i64, way: Way) -> Vec<Bytes> {
    const MOST_PIECES: usize = 4096;
    let bytes: Vec<u8> = conversation.lines.iter().flat_map(|line| line.bytes(id)).collect();
    let piece = if way == Way::Whole { bytes.len() } else { bytes.len() / MOST_PIECES + 1 };
    let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
    client.while_sending(&pieces, |client| {
        conversation.requests().map_while(|_| client.try_reply().ok()).collect()
    })
}
