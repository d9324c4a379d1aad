//! The connections over which further upstreams publish messages for a client.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{binding::Target, opening::open, state::ProxyState};
use crate::{
    Value,
    proxy::{
        conn::{ChannelListener, PoolKey, Session},
        wire::LossReason,
    },
    resp::Encoder,
};

/// The connections to all publishers besides that of the dedicated connection.
#[derive(Default)]
pub(super) struct Listeners {
    /// Names with this prefix are subscribed at all publishers. Without a prefix, no name is.
    prefix: Option<&'static str>,
    list: Vec<(Target, ChannelListener)>,
    /// A request waits until all listeners have confirmed it.
    is_awaited: bool,
    /// The reason for which the client cannot listen.
    lost: Option<LossReason>,
}

/// An event on one of the connections.
pub(super) enum ListenerEvent {
    Message(Vec<u8>),
    /// All listeners have confirmed the requests.
    Confirmed,
}

/// The reason for closing a client whose own upstream publishes no messages any more.
const NO_PUBLISHER: &str = "the router has removed it from the publishers";

impl Listeners {
    /// Subscribes the names with this prefix from now on.
    pub(super) fn listen(&mut self, prefix: &'static str) {
        self.prefix = Some(prefix);
    }

    /// Listens to the current publishers, and no others. `own` is the upstream of the dedicated connection.
    ///
    /// # Errors
    /// If the client's own upstream is no publisher.
    pub(super) fn update(
        &mut self,
        proxy: &Weak<RefCell<ProxyState>>,
        own: usize,
        key: PoolKey,
        session: &Session,
    ) -> Result<(), LossReason> {
        let (Some(prefix), Some(state)) = (self.prefix, proxy.upgrade()) else { return Ok(()) };
        let state = state.borrow();
        let publishers = state.publishers.servers();
        if !publishers.is_empty() && publishers.iter().all(|(server, _)| *server != own) {
            return Err(NO_PUBLISHER.into());
        }
        let others = || publishers.iter().filter(|(server, _)| *server != own);
        self.list.retain(|(target, _)| others().any(|(_, stats)| Arc::ptr_eq(stats, &target.stats)));
        for (number, stats) in others() {
            if self.list.iter().any(|(target, _)| Arc::ptr_eq(stats, &target.stats)) {
                continue;
            }
            let upstream = Rc::clone(&state.pool.servers.get(*number).upstream);
            let opening = Box::pin(open(Weak::clone(proxy), *number, key));
            let mut listener = ChannelListener::new(opening, upstream.max_reply_len);
            for (command, names) in session.subscriptions_to_channels() {
                let names = names.iter().filter(|name| name.starts_with(prefix.as_bytes()));
                let words: Vec<&[u8]> =
                    [command.as_bytes()].into_iter().chain(names.map(|name| &name[..])).collect();
                if words.len() > 1 {
                    listener.send(&encoded(&words));
                }
            }
            self.list.push((Target::new(*number, (upstream, Arc::clone(stats))), listener));
        }
        Ok(())
    }

    /// Sends a request, such as `SUBSCRIBE`. Returns whether it has to be confirmed.
    pub(super) fn send(&mut self, request: &[u8]) -> bool {
        let Some(prefix) = self.prefix.filter(|_| !self.list.is_empty()) else { return false };
        let Some(request) = with_prefix(prefix, request) else { return false };
        self.list.iter_mut().for_each(|(_, listener)| listener.send(&request));
        self.is_awaited = true;
        true
    }

    /// Makes the next poll fail.
    pub(super) fn lose(&mut self, reason: LossReason) {
        self.lost = Some(reason);
    }

    /// Returns the next event.
    ///
    /// # Errors
    /// If one of the connections is lost.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<ListenerEvent, LossReason>> {
        if let Some(reason) = self.lost.take() {
            return Poll::Ready(Err(reason));
        }
        for (_, listener) in &mut self.list {
            if let Poll::Ready(message) = listener.poll(cx) {
                return Poll::Ready(message.map(ListenerEvent::Message));
            }
        }
        if self.is_awaited && self.list.iter().all(|(_, listener)| listener.is_confirmed()) {
            self.is_awaited = false;
            return Poll::Ready(Ok(ListenerEvent::Confirmed));
        }
        Poll::Pending
    }
}

impl ProxyState {
    /// Asks the router for the servers at which clients listen.
    pub(super) fn update_publishers(&mut self) {
        let ProxyState { routing, pool, publishers, .. } = self;
        let numbers = routing.publishers(&mut pool.servers).into_iter();
        let known = numbers.filter(|server| pool.servers.has(*server));
        let known = known.map(|server| (server, Arc::clone(&pool.servers.get(server).stats))).collect();
        if publishers.set(known) && !self.feeds.is_empty() {
            // A feed may wait for an upstream that publishes from now on.
            (0..pool.servers.len()).for_each(|server| pool.servers.get(server).wakeup.notify_waiters());
        }
    }

    /// Does the same, if a client may be listening.
    pub(super) fn refresh_publishers(&mut self) {
        self.publishers.is_used &= !self.dedicated.is_empty() || !self.feeds.is_empty();
        if self.publishers.is_used {
            self.update_publishers();
        }
    }
}

/// Returns a request with only the names that have this prefix, or `None` if it has only other names.
fn with_prefix(prefix: &str, request: &[u8]) -> Option<Bytes> {
    let (request, _) = Value::parse(request).ok()??;
    let words: Vec<Value> = request.into_vec()?;
    let (name, names) = words.split_first()?;
    let mut kept: Vec<&[u8]> = names.iter().filter_map(Value::as_bytes).collect();
    // Without names, a request is about all of them.
    if !kept.is_empty() {
        kept.retain(|name| name.starts_with(prefix.as_bytes()));
        if kept.is_empty() {
            return None;
        }
    }
    Some(encoded(&[name.as_bytes().into_iter().collect(), kept].concat()))
}

fn encoded(words: &[&[u8]]) -> Bytes {
    let mut out = Encoder::default();
    out.request(words);
    out.into_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_the_prefix_are_subscribed_everywhere() {
        let request = |words: &[&str]| encoded(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        let filtered = |words: &[&str]| with_prefix("__key", &request(words));
        assert_eq!(filtered(&["SUBSCRIBE", "news"]), None);
        assert_eq!(
            filtered(&["SUBSCRIBE", "news", "__keyspace@0__:a", "b"]),
            Some(request(&["SUBSCRIBE", "__keyspace@0__:a"]))
        );
        assert_eq!(filtered(&["PUNSUBSCRIBE"]), Some(request(&["PUNSUBSCRIBE"])));
        let all = request(&["SUBSCRIBE", "news", "__keyspace@0__:a"]);
        assert_eq!(with_prefix("", &all), Some(all));
    }
}
