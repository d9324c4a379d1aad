//! Reads the messages that an upstream sends by itself: those of channels, and invalidations.

use std::{
    future::poll_fn,
    mem,
    task::{Poll, ready},
};

use actix_rt::time::timeout;
use bytes::Bytes;

use super::{Dialled, Upstream};
use crate::{
    Value,
    proxy::wire::{LossReason, ReplyReader, WholeReply},
    resp::{Encoder, Incoming},
    stream::{Stream, with_read_buffer},
};

/// An event on the connection of a feed.
pub(crate) enum FeedEvent {
    /// The upstream has confirmed the request. From now on, it sends all messages.
    Confirmed,
    /// The words of a message. The first one says what it is.
    Message(Vec<Value>),
}

/// Sends a request and reads messages until the connection is lost.
///
/// `confirmations` is the number of replies to the request. An upstream that stays silent for its reply timeout gets a
/// `PING`. If that gets no reply either, the connection is lost.
pub(crate) async fn follow(
    Dialled { mut stream, .. }: Dialled,
    upstream: &Upstream,
    request: &[Bytes],
    mut confirmations: usize,
    mut on_event: impl FnMut(FeedEvent),
) -> LossReason {
    let mut reader = ReplyReader::new(upstream.max_reply_len);
    let (mut out, mut sent, mut is_silent) = (Encoder::default(), 0, false);
    out.request(request);
    loop {
        let replies =
            match timeout(upstream.reply_timeout, exchange(&mut stream, &mut reader, &mut out, &mut sent))
                .await
            {
                Ok(Ok(replies)) => replies,
                Ok(Err(reason)) => return reason,
                Err(_) if mem::replace(&mut is_silent, true) => {
                    return LossReason::Silence(upstream.reply_timeout);
                }
                Err(_) => {
                    out.request(&["PING"]);
                    continue;
                }
            };
        is_silent = false;
        for reply in replies {
            match read(&reply.bytes, &mut confirmations) {
                Ok(event) => event.into_iter().for_each(&mut on_event),
                Err(reason) => return reason,
            }
        }
    }
}

/// Writes, and reads until at least one reply has arrived.
async fn exchange(
    stream: &mut Stream,
    reader: &mut ReplyReader,
    out: &mut Encoder,
    sent: &mut usize,
) -> Result<Vec<WholeReply>, LossReason> {
    poll_fn(|cx| {
        loop {
            if stream.poll_write(out, sent, cx)?.is_ready() {
                out.clear();
                *sent = 0;
            }
            let mut replies = Vec::new();
            let is_open = with_read_buffer(|scratch| {
                let read = ready!(stream.poll_read(scratch, cx))?;
                let mut input = &scratch[..read];
                while let Some(reply) = reader.next_whole(&mut input)? {
                    replies.push(reply);
                }
                Poll::Ready(Ok::<_, LossReason>(read > 0))
            });
            if !ready!(is_open)? {
                return Poll::Ready(Err(LossReason::closed()));
            }
            if !replies.is_empty() {
                return Poll::Ready(Ok(replies));
            }
        }
    })
    .await
}

/// Returns the event that a reply or a push is.
///
/// # Errors
/// If it is an error reply.
fn read(reply: &[u8], confirmations: &mut usize) -> Result<Option<FeedEvent>, LossReason> {
    if let Some(error) = reply.strip_prefix(b"-") {
        return Err(LossReason::error_reply(error));
    }
    // In RESP2, messages are arrays.
    if let Ok(Some((Incoming::Push(words) | Incoming::Reply(Value::Array(words)), _))) =
        Incoming::parse(reply)
        && words.first().and_then(Value::as_str).is_some_and(|word| MESSAGES.contains(&word))
    {
        return Ok(Some(FeedEvent::Message(words)));
    }
    let is_last = *confirmations == 1;
    *confirmations = confirmations.saturating_sub(1);
    Ok(is_last.then_some(FeedEvent::Confirmed))
}

const MESSAGES: [&str; 3] = ["message", "pmessage", "invalidate"];
