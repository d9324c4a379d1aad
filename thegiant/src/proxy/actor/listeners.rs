//! The connections over which further upstreams publish messages for a client.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::pin,
    rc::Weak,
    sync::atomic::Ordering::Relaxed,
    task::Poll,
};

use bytes::Bytes;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::state::ProxyState;
use crate::{
    Client, Value,
    proxy::{
        conn::{Dialled, Message, PoolKey, Upstream, dial, is_published},
        pool::FORGOTTEN,
        wire::{LossReason, ReplyReader, as_resp3},
    },
    resp::Encoder,
    stream::with_read_buffer,
};

/// The upstreams, besides that of its dedicated connection, at which a client has subscribed.
///
/// Each has a task and a connection. They end when this is dropped.
#[derive(Default)]
pub(super) struct Listeners(Vec<(usize, UnboundedSender<Bytes>)>);

/// The start of the names that are subscribed at several upstreams.
const EVERYWHERE: &[u8] = b"__key";

impl Listeners {
    /// Subscribes at these upstreams, too.
    pub(super) fn subscribe(
        &mut self,
        proxy: &Weak<RefCell<ProxyState>>,
        client: &Client,
        key: PoolKey,
        servers: impl Iterator<Item = usize>,
        request: &[u8],
    ) {
        let Some(request) = of_keyspace_events(request) else { return };
        for server in servers {
            let known = self.0.iter().position(|(known, _)| *known == server);
            let index = known.unwrap_or_else(|| {
                let (sender, requests) = mpsc::unbounded_channel();
                actix_rt::spawn(serve(Weak::clone(proxy), client.clone(), key, server, requests));
                self.0.push((server, sender));
                self.0.len() - 1
            });
            // If the task has ended, it has closed the client.
            let _ = self.0[index].1.send(request.clone());
        }
    }

    /// Unsubscribes at all upstreams.
    pub(super) fn unsubscribe(&self, request: &[u8]) {
        if self.0.is_empty() {
            return;
        }
        if let Some(request) = of_keyspace_events(request) {
            self.0.iter().for_each(|(_, sender)| drop(sender.send(request.clone())));
        }
    }
}

/// Returns a request with only the names of keyspace events, or `None` if it has only other names.
fn of_keyspace_events(request: &[u8]) -> Option<Bytes> {
    let (request, _) = Value::parse(request).ok()??;
    let words: Vec<Value> = request.into_vec()?;
    let (name, names) = words.split_first()?;
    let mut kept: Vec<&[u8]> = names.iter().filter_map(Value::as_bytes).collect();
    // Without names, a request is about all of them.
    if !kept.is_empty() {
        kept.retain(|name| name.starts_with(EVERYWHERE));
        if kept.is_empty() {
            return None;
        }
    }
    let mut out = Encoder::default();
    out.request(&[name.as_bytes().into_iter().collect(), kept].concat());
    Some(out.into_vec().into())
}

/// Passes messages on until the client needs none. Closes the client if the connection is lost.
async fn serve(
    proxy: Weak<RefCell<ProxyState>>,
    client: Client,
    key: PoolKey,
    server: usize,
    requests: UnboundedReceiver<Bytes>,
) {
    let Some((upstream, stats, forgotten)) = proxy.upgrade().map(|proxy| {
        let proxy = proxy.borrow();
        let server = proxy.pool.servers.get(server);
        (server.upstream.clone(), server.stats.clone(), server.forgotten.clone())
    }) else {
        return;
    };
    stats.private.fetch_add(1, Relaxed);
    let lost = {
        let mut forgotten = pin!(forgotten.notified());
        let mut listening = pin!(listen(&upstream, &client, key, requests));
        poll_fn(|cx| match forgotten.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(FORGOTTEN.into())),
            Poll::Pending => listening.as_mut().poll(cx),
        })
        .await
    };
    stats.private.fetch_sub(1, Relaxed);
    if let Err(reason) = lost {
        tracing::info!(id = client.id(), client = %client.addr(), %reason, "closed: an upstream of its subscriptions was lost");
        client.kill();
    }
}

/// Sends requests and passes published messages on, until no more requests can come.
async fn listen(
    upstream: &Upstream,
    client: &Client,
    key: PoolKey,
    mut requests: UnboundedReceiver<Bytes>,
) -> Result<(), LossReason> {
    let Dialled { mut stream, is_older } = dial(upstream, key).await?;
    let mut reader = ReplyReader::new(upstream.max_reply_len);
    let (mut out, mut sent) = (Encoder::default(), 0);
    poll_fn(|cx| {
        loop {
            while let Poll::Ready(request) = requests.poll_recv(cx) {
                let Some(request) = request else { return Poll::Ready(Ok(())) };
                out.raw(&request);
            }
            if stream.poll_write(&out, &mut sent, cx)?.is_ready() {
                out.clear();
                sent = 0;
            }
            let read = with_read_buffer(|scratch| {
                stream.poll_read(scratch, cx).map(|read| {
                    let read = read?;
                    let mut input = &scratch[..read];
                    while let Some(reply) = reader.next_whole(&mut input)? {
                        // The dedicated connection confirms the subscriptions.
                        if is_published(&reply.bytes) {
                            client.push(Message(converted(reply.bytes, is_older).into()));
                        }
                    }
                    if read == 0 { Err(LossReason::closed()) } else { Ok(()) }
                })
            });
            match read {
                Poll::Ready(read) => read?,
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Converts a message in RESP2 to a push, if the client uses RESP3.
fn converted(message: Vec<u8>, is_older: bool) -> Vec<u8> {
    if !is_older {
        return message;
    }
    let mut push = as_resp3(message);
    if let Some(kind) = push.first_mut() {
        *kind = b'>';
    }
    push
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_keyspace_events_are_subscribed_everywhere() {
        let request = |words: &[&str]| {
            let mut out = Encoder::default();
            out.request(words);
            out.into_vec()
        };
        let filtered = |words: &[&str]| of_keyspace_events(&request(words)).map(Vec::from);
        assert_eq!(filtered(&["SUBSCRIBE", "news"]), None);
        assert_eq!(
            filtered(&["SUBSCRIBE", "news", "__keyspace@0__:a", "b"]),
            Some(request(&["SUBSCRIBE", "__keyspace@0__:a"]))
        );
        assert_eq!(filtered(&["PUNSUBSCRIBE"]), Some(request(&["PUNSUBSCRIBE"])));
    }
}
