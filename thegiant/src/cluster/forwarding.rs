//! Sends the messages of `PUBLISH` on to the other instances.

use std::{
    future::Future,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::ClusterState;
use crate::{
    PubSub,
    observe::Warning,
    proxy::{Upstream, UpstreamHandle},
};

/// Maximum size of the messages that wait for an instance, in bytes. Further ones are dropped.
const MAX_WAITING: usize = 32 * 1024 * 1024;

/// Size of the messages behind which no further one is sent in the same request, in bytes.
const MAX_REQUEST: usize = 64 * 1024;

/// Approximate memory of a message besides its words, in bytes.
const ENTRY: usize = 100;

/// The other instances.
#[derive(Default)]
pub(super) struct Peers(Mutex<Vec<Peer>>);

/// Another instance. Dropping it ends the task that sends its messages.
struct Peer {
    address: String,
    messages: mpsc::UnboundedSender<Message>,
    waiting: Arc<Waiting>,
    /// The other end of `messages`, until the task has begun.
    unsent: Option<mpsc::UnboundedReceiver<Message>>,
}

/// The messages that wait for an instance.
#[derive(Default)]
struct Waiting {
    bytes: AtomicUsize,
    dropped: Warning,
}

/// A channel and a message.
#[derive(Clone)]
struct Message(Bytes, Bytes);

/// Sends messages on to the other instances of the topology, until the future is dropped.
///
/// Messages wait for the future from this call on. The other instances publish them with `CLUSTER PUBLISH`, which sends nothing on. So
/// there are no loops.
pub(crate) fn forward(cluster: Arc<ClusterState>, pubsub: &PubSub) -> impl Future<Output = ()> + use<> {
    let peers = Arc::new(Peers::default());
    if cluster.upstream.is_some() {
        let weak = Arc::downgrade(&peers);
        pubsub.set_forward(move |channel, message| {
            if let Some(peers) = weak.upgrade() {
                peers.send(channel, message);
            }
        });
        // First: a change that comes in between updates the peers.
        cluster.set_peers(Arc::downgrade(&peers));
        peers.update(&cluster);
    }
    async move {
        let Some(upstream) = &cluster.upstream else { return };
        loop {
            // First: a change that comes in between is seen by the next turn.
            let changed = cluster.changed();
            peers.start_new(upstream);
            changed.await;
        }
    }
}

impl Peers {
    /// Takes the instances from the current view. Messages for new ones wait until their task starts.
    pub(super) fn update(&self, cluster: &ClusterState) {
        let mut peers = self.lock();
        let mut before = mem::take(&mut *peers);
        for address in cluster.view().others() {
            let known = before.iter().position(|peer| peer.address == address);
            peers.push(known.map_or_else(|| Peer::new(address), |index| before.swap_remove(index)));
        }
    }

    /// Starts to send to new instances.
    fn start_new(&self, upstream: &Upstream) {
        self.lock().iter_mut().for_each(|peer| peer.start(upstream));
    }

    fn send(&self, channel: &[u8], message: &[u8]) {
        let peers = self.lock();
        if peers.is_empty() {
            return;
        }
        let message = Message(Bytes::copy_from_slice(channel), Bytes::copy_from_slice(message));
        peers.iter().for_each(|peer| peer.send(message.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Peer>> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    fn new(address: String) -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        Peer { address, messages: sender, waiting: Arc::default(), unsent: Some(messages) }
    }

    /// Starts the task, unless it runs.
    fn start(&mut self, upstream: &Upstream) {
        if let Some(messages) = self.unsent.take() {
            let (upstream, address) = (upstream.at(&self.address), self.address.clone());
            actix_rt::spawn(send_all(upstream, address, messages, Arc::clone(&self.waiting)));
        }
    }

    fn send(&self, message: Message) {
        if self.waiting.bytes.load(Relaxed) > MAX_WAITING {
            self.waiting.dropped.log(|| {
                tracing::warn!(
                    instance = self.address,
                    "messages of PUBLISH are dropped: the instance is too slow"
                );
            });
            return;
        }
        self.waiting.bytes.fetch_add(message.len(), Relaxed);
        // The task ends with this sender.
        let _ = self.messages.send(message);
    }
}

impl Message {
    fn len(&self) -> usize {
        self.0.len() + self.1.len() + ENTRY
    }
}

/// Sends the messages for an instance, several at a time.
async fn send_all(
    upstream: Upstream,
    address: String,
    mut messages: mpsc::UnboundedReceiver<Message>,
    waiting: Arc<Waiting>,
) {
    let lost = Warning::default();
    let mut connected: Option<UpstreamHandle> = None;
    while let Some(first) = messages.recv().await {
        let mut words = vec![Bytes::from_static(b"CLUSTER"), Bytes::from_static(b"PUBLISH")];
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(message) = next {
            bytes += message.len();
            words.extend([message.0, message.1]);
            next = if bytes < MAX_REQUEST { messages.try_recv().ok() } else { None };
        }
        // Without messages, there is no connection.
        let connected = connected.get_or_insert_with(|| upstream.clone().start());
        let sent = connected.call(words).await;
        waiting.bytes.fetch_sub(bytes, Relaxed);
        if let Err(error) = sent {
            let error = error.error();
            lost.log(|| tracing::warn!(instance = address, %error, "messages of PUBLISH did not reach an instance"));
        }
    }
}
