//! The events of a feed that its consumer has not taken yet.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::sync::mpsc;

/// Maximum number of events that wait for the consumer.
const MAX_EVENTS: usize = 4096;

/// Maximum size of the events that wait for the consumer, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// The end of a feed queue that adds events. The queue is bounded, but adding an event never waits.
///
/// A feed that waited for its consumer would make the upstream buffer its messages.
pub(super) struct FeedSender<T> {
    queue: Arc<Mutex<Queue<T>>>,
    wakeup: mpsc::Sender<()>,
}

/// The end of a feed queue that takes events. Dropping it ends the feed.
pub(super) struct FeedReceiver<T> {
    queue: Arc<Mutex<Queue<T>>>,
    /// Contains an element if events were added. It is closed when the feed has ended.
    wakeups: mpsc::Receiver<()>,
}

struct Queue<T> {
    events: VecDeque<(T, usize)>,
    bytes: usize,
}

/// Creates an empty queue.
pub(super) fn feed_queue<T>() -> (FeedSender<T>, FeedReceiver<T>) {
    let queue = Arc::new(Mutex::new(Queue { events: VecDeque::new(), bytes: 0 }));
    let (wakeup, wakeups) = mpsc::channel(1);
    (FeedSender { queue: Arc::clone(&queue), wakeup }, FeedReceiver { queue, wakeups })
}

impl<T> FeedSender<T> {
    /// Adds an event of this size, in bytes. Replaces all events by `gap` if too many wait.
    pub(super) fn send(&self, event: T, bytes: usize, gap: T) {
        let mut queue = lock(&self.queue);
        let is_full = queue.events.len() >= MAX_EVENTS || queue.bytes + bytes > MAX_BYTES;
        if is_full && !queue.events.is_empty() {
            queue.replace(gap);
        } else {
            queue.bytes += bytes;
            queue.events.push_back((event, bytes));
        }
        drop(queue);
        self.wake();
    }

    /// Replaces all waiting events, which this event makes superfluous.
    pub(super) fn replace(&self, event: T) {
        lock(&self.queue).replace(event);
        self.wake();
    }

    fn wake(&self) {
        // If the channel is full, the consumer is about to be woken. If it is closed, the feed ends.
        let _ = self.wakeup.try_send(());
    }

    /// Returns whether the consumer needs no more events.
    pub(super) fn is_closed(&self) -> bool {
        self.wakeup.is_closed()
    }

    /// Waits until the consumer needs no more events.
    pub(super) async fn closed(&self) {
        self.wakeup.closed().await;
    }
}

impl<T> Clone for FeedSender<T> {
    fn clone(&self) -> Self {
        FeedSender { queue: Arc::clone(&self.queue), wakeup: self.wakeup.clone() }
    }
}

impl<T> FeedReceiver<T> {
    /// Takes the next event. Returns `None` when the feed has ended.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            if let Some(event) = lock(&self.queue).take() {
                return Poll::Ready(Some(event));
            }
            if ready!(self.wakeups.poll_recv(cx)).is_none() {
                return Poll::Ready(lock(&self.queue).take());
            }
        }
    }
}

impl<T> Queue<T> {
    fn take(&mut self) -> Option<T> {
        let (event, bytes) = self.events.pop_front()?;
        self.bytes -= bytes;
        Some(event)
    }

    fn replace(&mut self, event: T) {
        self.events = VecDeque::from([(event, 0)]);
        self.bytes = 0;
    }
}

fn lock<T>(queue: &Mutex<Queue<T>>) -> MutexGuard<'_, Queue<T>> {
    // A poisoned lock holds valid data, because no code panics while it holds the lock.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn taken<T>(receiver: &mut FeedReceiver<T>) -> Vec<Option<T>> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut taken = Vec::new();
        while let Poll::Ready(event) = receiver.poll_next(&mut cx) {
            let is_end = event.is_none();
            taken.push(event);
            if is_end {
                break;
            }
        }
        taken
    }

    #[test]
    fn a_gap_takes_the_place_of_events_that_are_too_many() {
        let (sender, mut receiver) = feed_queue();
        (0..MAX_EVENTS).for_each(|event| sender.send(event, 0, usize::MAX));
        assert_eq!(taken(&mut receiver), (0..MAX_EVENTS).map(Some).collect::<Vec<_>>());
        (0..=MAX_EVENTS + 1).for_each(|event| sender.send(event, 0, usize::MAX));
        assert_eq!(taken(&mut receiver), [Some(usize::MAX), Some(MAX_EVENTS + 1)]);
        // The first event may be of any size.
        sender.send(1, 2 * MAX_BYTES, 0);
        assert_eq!(taken(&mut receiver), [Some(1)]);
        sender.send(2, MAX_BYTES, 0);
        sender.send(3, 1, 0);
        drop(sender);
        assert_eq!(taken(&mut receiver), [Some(0), None]);
    }

    #[test]
    fn a_dropped_receiver_ends_the_feed() {
        let (sender, receiver) = feed_queue::<()>();
        assert!(!sender.is_closed());
        drop(receiver);
        assert!(sender.is_closed());
    }
}
