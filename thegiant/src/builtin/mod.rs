//! The built-in commands, one file per family.
//!
//! They are rows like those of an application, which can replace or remove each of them.

mod acl;
mod client;
mod cluster;
mod command;
mod config;
mod connection;
mod debug;
mod info;
mod kill;
mod latency;
mod process;
pub(crate) mod pubsub;
mod server;
mod slowlog;
mod tracking;
pub(crate) mod transaction;
mod unblock;

use crate::{
    Error, Reply,
    batch::ReplyBuffer,
    command::{Answer, Commands, Request, Row},
    conn::ConnectionState,
    resp::Encoder,
};

/// The Redis version that the server reports to clients.
///
/// Redis 7.4 is the first version with which redis-py and Jedis use client-side caching (`CLIENT TRACKING`).
///
/// Replies, errors and limits match Redis 7.0, with the exceptions in `tests/it/differential/differences.txt`.
const REDIS_VERSION: &str = "7.4.0";

impl Commands for ConnectionState {
    const ROWS: &'static [&'static [Row<Self>]] = &[
        Self::CONNECTION,
        Self::CLIENT,
        Self::CLUSTER,
        Self::KILL,
        Self::TRACKING,
        Self::UNBLOCK,
        Self::COMMAND,
        Self::CONFIG,
        Self::INFO,
        Self::SERVER,
        Self::SLOWLOG,
        Self::LATENCY,
        Self::DEBUG,
        Self::PUBSUB,
        Self::TRANSACTION,
        Self::ACL,
    ];
}

/// Human-readable text, sent as a verbatim string.
struct Report(String);

impl Reply for Report {
    fn write_to(self, out: &mut Encoder) {
        out.verbatim(*b"txt", &self.0);
    }
}

/// A reply that ends a subscription or changes the protocol, and follows all pending pushes.
///
/// After such a reply, the client would not recognise an earlier push.
struct AfterPushes<'a, T> {
    state: &'a ConnectionState,
    reply: T,
}

impl ConnectionState {
    fn after_pushes<T>(&self, reply: T) -> AfterPushes<'_, T> {
        AfterPushes { state: self, reply }
    }
}

#[diagnostic::do_not_recommend]
impl<T: Answer<ConnectionState>> Answer<ConnectionState> for AfterPushes<'_, T> {
    fn answer(self, request: &Request<'_>, context: &mut (), out: &mut ReplyBuffer) {
        // The replies of a transaction are elements of one array, and a push cannot be an element.
        if self.state.client.has_pending_pushes() && !self.state.transaction.is_running() {
            self.state.take_pushes(out.encoder_mut());
            out.keep();
        }
        self.reply.answer(request, context, out);
    }
}

#[diagnostic::do_not_recommend]
impl<T: Answer<ConnectionState>> Answer<ConnectionState> for Result<AfterPushes<'_, T>, Error> {
    fn answer(self, request: &Request<'_>, context: &mut (), out: &mut ReplyBuffer) {
        match self {
            Ok(reply) => reply.answer(request, context, out),
            Err(error) => out.error(&error),
        }
    }
}
