//! Opens the connections of feeds: over them, upstreams send the messages of channels, and invalidations.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::pin,
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::{Duration, Instant},
};

use actix_rt::time::{sleep, timeout};
use bytes::Bytes;
use tokio::sync::Notify;

use super::{feed::Feed, feed_consumer::Consumer, state::ProxyState, upkeep::LOG_EVERY};
use crate::{
    proxy::{
        conn::{FeedEvent, PoolKey, Upstream, UpstreamStats, dial, follow},
        pool::FORGOTTEN,
        routing::{Readiness, Route},
        wire::{LossReason, Words},
    },
    resp::{Backoff, Protocol},
};

/// The upstream to which a feed connects next.
enum Place {
    Server(usize),
    /// All publishers. Each upstream gets a task of its own.
    Everywhere,
    /// The router cannot choose one yet.
    Unknown,
}

/// A server and what its connection needs.
struct Target {
    upstream: Rc<Upstream>,
    stats: Arc<UpstreamStats>,
    forgotten: Rc<Notify>,
    wakeup: Rc<Notify>,
    has_messages: bool,
    is_down: bool,
}

/// The pool of connections whose messages are pushes, if the upstream supports them.
const PUSHES: PoolKey = PoolKey { protocol: Protocol::Resp3, db: 0 };

/// The start of the channels of keyspace events, which each upstream publishes for its own keys.
const KEYSPACE_EVENTS: &[u8] = b"__key";

/// Time between two attempts to choose an upstream.
const RETRY_EVERY: Duration = Duration::from_millis(100);

impl ProxyState {
    /// Subscribes a consumer to channels or patterns. The router chooses the upstream.
    pub(super) fn subscribe(&mut self, command: &'static str, names: Vec<Bytes>, consumer: Consumer) {
        let (events, others): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| name.starts_with(KEYSPACE_EVENTS));
        for names in [events, others] {
            if !names.is_empty() {
                let request = [vec![Bytes::from_static(command.as_bytes())], names].concat();
                let feed = self.add_feed(request, consumer.clone());
                actix_rt::spawn(run(Weak::clone(&self.me), feed, None));
            }
        }
    }

    /// Sends a consumer the invalidations of all upstreams.
    pub(super) fn track(&mut self, request: Vec<Bytes>, consumer: Consumer) -> Rc<Feed> {
        let feed = self.add_feed(request, consumer);
        self.follow_everywhere(&feed);
        feed
    }

    fn add_feed(&mut self, request: Vec<Bytes>, consumer: Consumer) -> Rc<Feed> {
        let feed = Rc::new(Feed::new(request, consumer));
        self.feeds.push(Rc::clone(&feed));
        feed
    }

    /// Connects a feed to all upstreams, or to all publishers.
    fn follow_everywhere(&mut self, feed: &Rc<Feed>) {
        self.update_publishers();
        (0..self.pool.servers.len()).for_each(|server| self.follow_server(feed, server));
    }

    /// Connects the feeds that need all upstreams to a new one.
    pub(super) fn feed_from(&self, server: usize) {
        let is_everywhere = |feed: &&Rc<Feed>| !feed.followed.borrow().is_empty();
        self.feeds.iter().filter(is_everywhere).for_each(|feed| self.follow_server(feed, server));
    }

    fn follow_server(&self, feed: &Rc<Feed>, server: usize) {
        if !feed.followed.borrow_mut().insert(server) {
            return;
        }
        if self.sends_to(feed, server) {
            feed.expect(server);
        }
        actix_rt::spawn(run(Weak::clone(&self.me), Rc::clone(feed), Some(server)));
    }

    /// Returns whether an upstream has messages for a feed that is connected to all of them.
    ///
    /// The replica of a publisher has the same messages.
    fn sends_to(&self, feed: &Feed, server: usize) -> bool {
        let publishers = self.publishers.servers();
        let is_publisher =
            || publishers.is_empty() || publishers.iter().any(|(publisher, _)| *publisher == server);
        self.pool.servers.has(server) && (feed.consumer.is_tracking() || is_publisher())
    }

    /// Removes the feeds whose consumers need no more messages.
    pub(super) fn drop_feeds(&mut self) {
        self.feeds.retain(|feed| !feed.consumer.is_closed());
    }

    /// Ends the tasks of all feeds.
    pub(super) fn stop_feeds(&mut self) {
        self.feeds.drain(..).for_each(|feed| feed.stopped.notify_waiters());
    }

    fn place(&mut self, request: &[Bytes]) -> Place {
        if !matches!(self.routing.readiness(&self.pool.servers, None), Readiness::Ready) {
            return Place::Unknown;
        }
        match self.routing.route_as_is(Words::Own(request), &mut self.pool.servers, false) {
            Route::To(server) => Place::Server(server),
            Route::Any => Place::Server(self.pool.servers.any(0)),
            Route::Listen { .. } => Place::Everywhere,
            _ => Place::Unknown,
        }
    }

    fn target(&self, feed: &Feed, number: usize) -> Target {
        let server = self.pool.servers.get(number);
        let is_everywhere = !feed.followed.borrow().is_empty();
        Target {
            upstream: Rc::clone(&server.upstream),
            stats: Arc::clone(&server.stats),
            forgotten: Rc::clone(&server.forgotten),
            wakeup: Rc::clone(&server.wakeup),
            has_messages: if is_everywhere { self.sends_to(feed, number) } else { server.is_member() },
            is_down: server.is_down,
        }
    }
}

/// Keeps a connection open until the consumer needs no more messages, or the proxy stops.
///
/// Without a `server`, the router chooses it, again after each lost connection.
async fn run(proxy: Weak<RefCell<ProxyState>>, feed: Rc<Feed>, server: Option<usize>) {
    let mut closed = pin!(feed.consumer.closed());
    let mut stopped = pin!(feed.stopped.notified());
    let mut kept = pin!(keep_open(&proxy, &feed, server));
    poll_fn(|cx| {
        let is_over = closed.as_mut().poll(cx).is_ready() || stopped.as_mut().poll(cx).is_ready();
        if is_over { Poll::Ready(()) } else { kept.as_mut().poll(cx) }
    })
    .await;
}

async fn keep_open(proxy: &Weak<RefCell<ProxyState>>, feed: &Rc<Feed>, fixed: Option<usize>) {
    let mut backoff = Backoff::default();
    let mut logged: Option<Instant> = None;
    loop {
        let Some(state) = proxy.upgrade() else { return };
        let place = fixed.map_or_else(|| state.borrow_mut().place(&feed.request), Place::Server);
        let number = match place {
            Place::Server(server) => server,
            Place::Everywhere => return state.borrow_mut().follow_everywhere(feed),
            Place::Unknown => {
                drop(state);
                sleep(RETRY_EVERY).await;
                continue;
            }
        };
        let target = state.borrow().target(feed, number);
        drop(state);
        let woken = target.wakeup.notified();
        if !target.has_messages {
            feed.exclude(number);
            woken.await;
            continue;
        }
        if target.is_down {
            feed.exclude(number)
        } else {
            feed.expect(number)
        }
        let lost = match open(proxy, feed, number, &target).await {
            Ok(lost) => {
                backoff.reset();
                feed.expect(number);
                lost
            }
            Err(lost) => lost,
        };
        if logged.is_none_or(|logged| logged.elapsed() > LOG_EVERY) {
            logged = Some(Instant::now());
            let upstream = &target.upstream.address;
            tracing::warn!(upstream, reason = %lost, "the upstream sends no messages and no invalidations");
        }
        // The upstream's other connections may find out earlier that it is up.
        let _ = timeout(backoff.next_delay(), woken).await;
    }
}

/// Opens a connection and passes its messages on. Returns the reason why it was lost.
///
/// # Errors
/// If the connection could not be opened, or the upstream has not confirmed the request.
async fn open(
    proxy: &Weak<RefCell<ProxyState>>,
    feed: &Feed,
    number: usize,
    target: &Target,
) -> Result<LossReason, LossReason> {
    let dialled = dial(&target.upstream, PUSHES).await?;
    if feed.consumer.is_tracking() && dialled.is_older {
        return Err(NO_PUSHES.into());
    }
    if let Some(proxy) = proxy.upgrade() {
        proxy.borrow_mut().pool.reached(number);
    }
    feed.expect(number);
    let mut is_confirmed = false;
    target.stats.private.fetch_add(1, Relaxed);
    let lost = {
        let mut forgotten = pin!(target.forgotten.notified());
        let mut ended = pin!(end_of_messages(proxy, feed, number));
        let mut followed =
            pin!(follow(dialled, &target.upstream, &feed.request, feed.confirmations(), |event| {
                match event {
                    FeedEvent::Confirmed => {
                        is_confirmed = true;
                        feed.confirmed(number);
                    }
                    FeedEvent::Message(words) => feed.consumer.on_message(words, feed.is_complete()),
                }
            }));
        poll_fn(|cx| match forgotten.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(FORGOTTEN.into()),
            Poll::Pending if ended.as_mut().poll(cx).is_ready() => Poll::Ready(FORGOTTEN.into()),
            Poll::Pending => followed.as_mut().poll(cx),
        })
        .await
    };
    target.stats.private.fetch_sub(1, Relaxed);
    if is_confirmed { Ok(lost) } else { Err(lost) }
}

/// Waits until an upstream has no messages for a feed any more.
async fn end_of_messages(proxy: &Weak<RefCell<ProxyState>>, feed: &Feed, number: usize) {
    while let Some(state) = proxy.upgrade() {
        let changed = Rc::clone(&state.borrow().publishers.changed);
        let changed = changed.notified();
        if !state.borrow().target(feed, number).has_messages {
            return;
        }
        drop(state);
        changed.await;
    }
}

const NO_PUSHES: &str = "it does not support RESP3, which invalidations need";
