//! One computation for all who ask for the same at the same time.

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

/// One computation per key, however many ask for it at once: for handlers that ask a database, or another server, for what
/// many clients want at the same moment.
///
/// It belongs to one thread, as an actor does. What is computed is cloned for each who has asked, an error as well. It goes
/// on as long as anybody waits for it: when all clients have left, it is dropped.
///
/// ```
/// use actix::ResponseFuture;
/// use thegiant::{SingleFlight, prelude::*};
///
/// #[derive(Default)]
/// struct Reports {
///     being_made: SingleFlight<String, String>,
/// }
///
/// impl Actor for Reports {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Reports {
///     /// Makes a report, once for all who ask meanwhile.
///     #[command("REPORT")]
///     fn report(&self, about: String) -> ResponseFuture<String> {
///         let report = self.being_made.run(&about, || make_report(about.clone()));
///         Box::pin(report)
///     }
/// }
///
/// async fn make_report(about: String) -> String {
///     // It takes its time.
///     format!("All is well with {about}.")
/// }
/// ```
pub struct SingleFlight<K: Eq + Hash, T>(Rc<Flights<K, T>>);

type Flights<K, T> = RefCell<HashMap<K, Weak<Computation<K, T>>, RandomState>>;

/// A computation, which those have who wait for it.
struct Computation<K: Eq + Hash, T> {
    key: K,
    all: Weak<Flights<K, T>>,
    waiting: RefCell<Vec<oneshot::Sender<T>>>,
    task: RefCell<Option<JoinHandle<()>>>,
}

impl<K: Eq + Hash, T> Default for SingleFlight<K, T> {
    fn default() -> Self {
        SingleFlight(Rc::default())
    }
}

impl<K: Clone + Eq + Hash + 'static, T: Clone + 'static> SingleFlight<K, T> {
    /// Nothing is being computed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for the computation of this key that is under way, or else begins `compute`. That goes on by itself, on this
    /// thread, until it is done or what this returns has been dropped by all.
    ///
    /// # Panics
    /// If there is no actix system running. What this returns panics if the computation has.
    pub fn run<F>(&self, key: &K, compute: impl FnOnce() -> F) -> Flight<K, T>
    where
        F: Future<Output = T> + 'static,
    {
        let known = self.0.borrow().get(key).and_then(Weak::upgrade);
        let computation = known.unwrap_or_else(|| self.begin(key, compute()));
        let (sender, result) = oneshot::channel();
        computation.waiting.borrow_mut().push(sender);
        Flight { result, _computation: computation }
    }

    /// Has the next one who asks begin anew: what is under way is too old for those who ask from now on. Who waits for it
    /// already gets it all the same.
    pub fn forget(&self, key: &K) {
        self.0.borrow_mut().remove(key);
    }

    /// How many computations are under way.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn begin(&self, key: &K, computation: impl Future<Output = T> + 'static) -> Rc<Computation<K, T>> {
        let flight = Rc::new(Computation {
            key: key.clone(),
            all: Rc::downgrade(&self.0),
            waiting: RefCell::default(),
            task: RefCell::default(),
        });
        self.0.borrow_mut().insert(key.clone(), Rc::downgrade(&flight));
        let landing = Landing(Rc::downgrade(&flight));
        let task = actix_rt::spawn(async move {
            let result = computation.await;
            landing.tell(&result);
        });
        *flight.task.borrow_mut() = Some(task);
        flight
    }
}

impl<K: Eq + Hash, T> Computation<K, T> {
    fn forget(&self) {
        if let Some(all) = self.all.upgrade() {
            let mut all = all.borrow_mut();
            // It may have been begun anew.
            if all.get(&self.key).is_some_and(|known| std::ptr::eq(known.as_ptr(), self)) {
                all.remove(&self.key);
            }
        }
    }
}

impl<K: Eq + Hash, T> Drop for Computation<K, T> {
    /// Nobody waits any more.
    fn drop(&mut self) {
        self.forget();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// The end of a computation, even if it panics.
struct Landing<K: Eq + Hash, T>(Weak<Computation<K, T>>);

impl<K: Eq + Hash, T> Landing<K, T> {
    /// Who asks from now on may want to know what has changed since.
    fn waiting(&self) -> Vec<oneshot::Sender<T>> {
        let Some(flight) = self.0.upgrade() else { return Vec::new() };
        flight.forget();
        mem::take(&mut *flight.waiting.borrow_mut())
    }

    fn tell(&self, result: &T)
    where
        T: Clone,
    {
        for sender in self.waiting() {
            // Some may have left.
            let _ = sender.send(result.clone());
        }
    }
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        drop(self.waiting());
    }
}

/// The result of a computation that others may wait for, too: what [`SingleFlight::run`] returns.
#[must_use = "a computation that nobody waits for is dropped"]
pub struct Flight<K: Eq + Hash, T> {
    result: oneshot::Receiver<T>,
    _computation: Rc<Computation<K, T>>,
}

impl<K: Eq + Hash, T> Future for Flight<K, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.result).poll(cx)) {
            Ok(result) => Poll::Ready(result),
            Err(_) => panic!("what was waited for has ended without a result"),
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
        f.debug_struct("SingleFlight").field("under_way", &self.0.borrow().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use actix_rt::time::sleep;

    use super::*;

    /// Counts how often it is begun and ended.
    #[derive(Clone, Default)]
    struct Work(Rc<Cell<(u32, u32)>>);

    impl Work {
        async fn run(self, result: Result<u8, &'static str>) -> Result<u8, &'static str> {
            let (begun, ended) = self.0.get();
            self.0.set((begun + 1, ended));
            sleep(Duration::from_millis(5)).await;
            let (begun, ended) = self.0.get();
            self.0.set((begun, ended + 1));
            result
        }
    }

    #[actix::test]
    async fn all_who_ask_at_once_have_one_result() {
        let (flights, work) = (SingleFlight::new(), Work::default());
        let ask = |key: &'static str, result| {
            let work = work.clone();
            flights.run(&key, || work.run(result))
        };
        let (first, second, other) = (ask("a", Ok(1)), ask("a", Ok(2)), ask("b", Err("no")));
        let another = ask("b", Ok(3));
        assert_eq!(flights.len(), 2);
        // Who began it may leave.
        drop(first);
        assert_eq!((second.await, other.await, another.await), (Ok(1), Err("no"), Err("no")));
        assert_eq!((work.0.get(), flights.len()), ((2, 2), 0));
        assert_eq!(ask("a", Ok(4)).await, Ok(4));
    }

    #[actix::test]
    async fn what_nobody_waits_for_is_dropped() {
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

    #[actix::test]
    async fn what_is_forgotten_is_begun_anew() {
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

    #[actix::test]
    async fn a_panic_is_everybodys() {
        let flights = SingleFlight::<_, u8>::new();
        let ask = || actix_rt::spawn(flights.run(&1, || async { panic!("it was to be") }));
        let (first, second) = (ask(), ask());
        assert!(first.await.is_err() && second.await.is_err());
        assert!(flights.is_empty());
        assert_eq!(flights.run(&1, || async { 2 }).await, 2);
    }
}
