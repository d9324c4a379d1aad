//! Shares one computation between concurrent requests for the same key.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    future::Future,
    hash::Hash,
    mem,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
};

use actix_rt::task::JoinHandle;
use foldhash::quality::RandomState;
use tokio::sync::oneshot;

/// Runs at most one computation per key at a time, and shares its result.
///
/// A handler uses it when many clients request the same data at once from a database or another server.
///
/// A `SingleFlight` belongs to one thread, as an actor does. Every waiting caller gets a clone of the result,
/// which may be an error. When all callers have dropped their [`Flight`]s, the computation is dropped too.
///
/// ```
/// use actix::ResponseFuture;
/// use thegiant::{prelude::*, single_flight::SingleFlight};
///
/// #[derive(Default)]
/// struct Reports {
///     pending: SingleFlight<String, String>,
/// }
///
/// impl Actor for Reports {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Reports {
///     /// Writes a report, once for all clients that request it meanwhile.
///     #[command("REPORT")]
///     fn report(&self, about: String) -> ResponseFuture<String> {
///         let report = self.pending.run(&about, || write_report(about.clone()));
///         Box::pin(report)
///     }
/// }
///
/// async fn write_report(about: String) -> String {
///     // A slow database query, for example.
///     format!("All is well with {about}.")
/// }
/// ```
pub struct SingleFlight<K: Eq + Hash, T>(Rc<Computations<K, T>>);

type Computations<K, T> = RefCell<HashMap<K, Weak<Computation<K, T>>, RandomState>>;

/// A running computation, owned by the [`Flight`]s that wait for it.
struct Computation<K: Eq + Hash, T> {
    key: K,
    all: Weak<Computations<K, T>>,
    waiters: RefCell<Vec<oneshot::Sender<T>>>,
    task: RefCell<Option<JoinHandle<()>>>,
}

impl<K: Eq + Hash, T> Default for SingleFlight<K, T> {
    fn default() -> Self {
        SingleFlight(Rc::default())
    }
}

impl<K: Clone + Eq + Hash + 'static, T: Clone + 'static> SingleFlight<K, T> {
    /// Creates an instance without running computations.
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins the running computation of this key, or starts `compute`.
    ///
    /// The computation runs as a task on this thread. It stops early when all of its [`Flight`]s are dropped.
    ///
    /// # Panics
    /// If no actix system is running. The returned future panics if the computation has panicked.
    pub fn run<F>(&self, key: &K, compute: impl FnOnce() -> F) -> Flight<K, T>
    where
        F: Future<Output = T> + 'static,
    {
        let running = self.0.borrow().get(key).and_then(Weak::upgrade);
        let computation = running.unwrap_or_else(|| self.start(key, compute()));
        let (sender, result) = oneshot::channel();
        computation.waiters.borrow_mut().push(sender);
        Flight { result, _computation: computation }
    }

    /// Makes the next call of [`run`](Self::run) start a new computation for this key.
    ///
    /// Use it when the data has changed. Callers that already wait still get the result of the old computation.
    pub fn forget(&self, key: &K) {
        self.0.borrow_mut().remove(key);
    }

    /// Returns the number of running computations.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Returns whether no computation is running.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn start(&self, key: &K, compute: impl Future<Output = T> + 'static) -> Rc<Computation<K, T>> {
        let computation = Rc::new(Computation {
            key: key.clone(),
            all: Rc::downgrade(&self.0),
            waiters: RefCell::default(),
            task: RefCell::default(),
        });
        self.0.borrow_mut().insert(key.clone(), Rc::downgrade(&computation));
        let completion = Completion(Rc::downgrade(&computation));
        let task = actix_rt::spawn(async move {
            let result = compute.await;
            completion.send(&result);
        });
        *computation.task.borrow_mut() = Some(task);
        computation
    }
}

impl<K: Eq + Hash, T> Computation<K, T> {
    fn forget(&self) {
        if let Some(all) = self.all.upgrade() {
            let mut all = all.borrow_mut();
            // After `SingleFlight::forget`, the key may belong to a newer computation.
            if all.get(&self.key).is_some_and(|current| std::ptr::eq(current.as_ptr(), self)) {
                all.remove(&self.key);
            }
        }
    }
}

impl<K: Eq + Hash, T> Drop for Computation<K, T> {
    /// Aborts the task, because no caller waits for it.
    fn drop(&mut self) {
        self.forget();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Ends a computation, even if it panics: dropping the senders wakes all waiters.
struct Completion<K: Eq + Hash, T>(Weak<Computation<K, T>>);

impl<K: Eq + Hash, T> Completion<K, T> {
    /// Removes the computation, so that later calls start a new one, and returns its waiters.
    fn take_waiters(&self) -> Vec<oneshot::Sender<T>> {
        let Some(computation) = self.0.upgrade() else { return Vec::new() };
        computation.forget();
        mem::take(&mut *computation.waiters.borrow_mut())
    }

    fn send(&self, result: &T)
    where
        T: Clone,
    {
        for sender in self.take_waiters() {
            // Sending fails if the caller has dropped its `Flight`.
            let _ = sender.send(result.clone());
        }
    }
}

impl<K: Eq + Hash, T> Drop for Completion<K, T> {
    fn drop(&mut self) {
        drop(self.take_waiters());
    }
}

/// A future of the result of a shared computation, returned by [`SingleFlight::run`].
#[must_use = "a computation is dropped when no `Flight` waits for it"]
pub struct Flight<K: Eq + Hash, T> {
    result: oneshot::Receiver<T>,
    _computation: Rc<Computation<K, T>>,
}

impl<K: Eq + Hash, T> Future for Flight<K, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.result).poll(cx)) {
            Ok(result) => Poll::Ready(result),
            Err(_) => panic!("the shared computation has panicked"),
        }
    }
}

impl<K: Eq + Hash, T> fmt::Debug for Flight<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash, T> fmt::Debug for SingleFlight<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").field("running", &self.0.borrow().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use actix_rt::time::sleep;

    use super::*;

    /// Counts its starts and ends.
    #[derive(Clone, Default)]
    struct Work(Rc<Cell<(u32, u32)>>);

    impl Work {
        async fn run(self, result: Result<u8, &'static str>) -> Result<u8, &'static str> {
            let (started, ended) = self.0.get();
            self.0.set((started + 1, ended));
            sleep(Duration::from_millis(5)).await;
            let (started, ended) = self.0.get();
            self.0.set((started, ended + 1));
            result
        }
    }

    #[thegiant::test]
    async fn concurrent_callers_share_one_result() {
        let (flights, work) = (SingleFlight::new(), Work::default());
        let ask = |key: &'static str, result| {
            let work = work.clone();
            flights.run(&key, || work.run(result))
        };
        let (first, second, other) = (ask("a", Ok(1)), ask("a", Ok(2)), ask("b", Err("no")));
        let another = ask("b", Ok(3));
        assert_eq!(flights.len(), 2);
        // The computation continues without the caller that started it.
        drop(first);
        assert_eq!((second.await, other.await, another.await), (Ok(1), Err("no"), Err("no")));
        assert_eq!((work.0.get(), flights.len()), ((2, 2), 0));
        assert_eq!(ask("a", Ok(4)).await, Ok(4));
    }

    #[thegiant::test]
    async fn a_computation_without_waiters_is_dropped() {
        let (flights, work) = (SingleFlight::new(), Work::default());
        let ask = || {
            let work = work.clone();
            flights.run(&1, || work.run(Ok(1)))
        };
        let (first, second) = (ask(), ask());
        sleep(Duration::from_millis(1)).await;
        drop((first, second));
        assert!(flights.is_empty());
        assert_eq!(ask().await, Ok(1));
        sleep(Duration::from_millis(20)).await;
        assert_eq!(work.0.get(), (2, 1));
    }

    #[thegiant::test]
    async fn a_forgotten_computation_starts_again() {
        let flights = SingleFlight::new();
        let ask = |value: u8| {
            flights.run(&1, move || async move {
                sleep(Duration::from_millis(5)).await;
                value
            })
        };
        let old = ask(1);
        flights.forget(&1);
        let (new, joined) = (ask(2), ask(3));
        assert_eq!((old.await, new.await, joined.await), (1, 2, 2));
        assert!(flights.is_empty());
    }

    #[thegiant::test]
    async fn a_panic_reaches_all_callers() {
        let flights = SingleFlight::<_, u8>::new();
        let ask = || actix_rt::spawn(flights.run(&1, || async { panic!("expected by the test") }));
        let (first, second) = (ask(), ask());
        assert!(first.await.is_err() && second.await.is_err());
        assert!(flights.is_empty());
        assert_eq!(flights.run(&1, || async { 2 }).await, 2);
    }
}
