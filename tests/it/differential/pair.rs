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

pub(super) const VARIANTS: [Variant; 6] = [
    Variant { protocol: 2, way: Way::InTurn },
    Variant { protocol: 2, way: Way::Whole },
    Variant { protocol: 2, way: Way::Bytes },
    Variant { protocol: 3, way: Way::InTurn },
    Variant { protocol: 3, way: Way::Whole },
    Variant { protocol: 3, way: Way::Bytes },
];

/// `kv` and redis-server, on sockets of the same name.
#[derive(Debug)]
pub(super) struct Pair {
    kv: Process,
    redis: Process,
}

impl Pair {
    pub(super) fn start() -> Self {
        let pair = Pair { kv: Process::example_like_redis("kv"), redis: Process::redis() };
        pair.align_ids();
        pair
    }

    /// Lets the next client of each have the same number: it is in some replies.
    fn align_ids(&self) {
        let next = |server: &Process| id(&mut RawClient::connect(server.address()));
        let (mut kv, mut redis) = (next(&self.kv), next(&self.redis));
        while kv != redis {
            if kv < redis {
                kv = next(&self.kv);
            } else {
                redis = next(&self.redis);
            }
        }
    }

    /// All that `kv` says in a conversation, and all that redis-server does: a reply per request,
    /// unless the connection ends before, then the rest.
    pub(super) fn answers(&self, conversation: &Conversation<'_>, variant: Variant) -> [Vec<Bytes>; 2] {
        [&self.kv, &self.redis].map(|server| {
            let mut client = RawClient::connect(server.address());
            client.ask(line("FLUSHALL"));
            if variant.protocol == 3 {
                client.ask(line("HELLO 3"));
            }
            let id = id(&mut client).to_string();
            let mut answers = match variant.way {
                Way::InTurn => in_turn(&mut client, conversation, &id),
                way => at_once(&mut client, conversation, &id, way),
            };
            client.half_close();
            answers.push(client.rest());
            answers
        })
    }
}

fn id(client: &mut RawClient) -> i64 {
    match Reply::only(&client.ask(line("CLIENT ID"))) {
        Some(Reply::Integer(id)) => id,
        other => panic!("{other:?} is no number of a client"),
    }
}

fn in_turn(client: &mut RawClient, conversation: &Conversation<'_>, id: &str) -> Vec<Bytes> {
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

fn at_once(client: &mut RawClient, conversation: &Conversation<'_>, id: &str, way: Way) -> Vec<Bytes> {
    const MOST_PIECES: usize = 4096;
    let bytes: Vec<u8> = conversation.lines.iter().flat_map(|line| line.bytes(id)).collect();
    let piece = if way == Way::Whole { bytes.len() } else { bytes.len() / MOST_PIECES + 1 };
    let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
    client.while_sending(&pieces, |client| {
        conversation.requests().map_while(|_| client.try_reply().ok()).collect()
    })
}
