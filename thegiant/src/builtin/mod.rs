//! The commands that the toolkit answers itself, one file a family. They are rows like any others:
//! an application can replace or remove each of them.

mod client;
mod command;
mod config;
mod connection;
mod debug;
mod info;
mod latency;
mod process;
pub(crate) mod pubsub;
mod server;
mod slowlog;
mod tracking;
pub(crate) mod transaction;
mod unblock;

use crate::{
    Error, IntoReply,
    command::{Answer, Call, Commands, ReplyBuffer, Row},
    connection::ConnectionState,
    resp::Encoder,
};

/// The version of Redis that clients are told. Replies, errors and limits are those of 7.0, but clients that keep what
/// they read (`CLIENT TRACKING`) do so only if it is 7.4 or later, as redis-py and Jedis.
const REDIS_VERSION: &str = "7.4.0";

impl Commands for ConnectionState {
    const ROWS: &'static [&'static [Row<Self>]] = &[
        Self::CONNECTION,
        Self::CLIENT,
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
    ];
}

/// Text for people: a verbatim string.
struct Report(String);

impl IntoReply for Report {
    fn into_reply(self, out: &mut Encoder) {
        out.verbatim(*b"txt", &self.0);
    }
}

/// A reply behind all that has been pushed by now: what the command did must not be seen to come before it.
struct Ahead<'a, T> {
    state: &'a ConnectionState,
    reply: T,
}

impl ConnectionState {
    fn ahead<T>(&self, reply: T) -> Ahead<'_, T> {
        Ahead { state: self, reply }
    }
}

#[diagnostic::do_not_recommend]
impl<T: Answer<ConnectionState>> Answer<ConnectionState> for Ahead<'_, T> {
    fn answer(self, call: &Call<'_>, context: &mut (), out: &mut ReplyBuffer) {
        // Within a transaction, that would be part of an array.
        if self.state.client.is_pushed_to() && !self.state.transaction.is_running() {
            self.state.take_pushed(out.encoder_mut());
            out.keep();
        }
        self.reply.answer(call, context, out);
    }
}

#[diagnostic::do_not_recommend]
impl<T: Answer<ConnectionState>> Answer<ConnectionState> for Result<Ahead<'_, T>, Error> {
    fn answer(self, call: &Call<'_>, context: &mut (), out: &mut ReplyBuffer) {
        match self {
            Ok(ahead) => ahead.answer(call, context, out),
            Err(error) => out.error(&error),
        }
    }
}
