//! Numbers of the application that operators see.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

/// A number that only grows, such as the jobs that were added.
///
/// [`App::counter`](crate::App::counter) shows it in `INFO`, and exports it with the feature `metrics`. Clones count
/// together, on any thread.
///
/// ```
/// use thegiant::{Counter, prelude::*};
///
/// struct Greeter {
///     greeted: Counter,
/// }
///
/// impl Actor for Greeter {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Greeter {
///     /// Greets, and counts it.
///     #[command("GREET", fast)]
///     fn greet(&self) -> &'static str {
///         self.greeted.increment();
///         "hello"
///     }
/// }
///
/// fn app() -> App {
///     let greeted = Counter::new();
///     App::new().counter("Greeter", "greeter_greeted_total", &greeted).mount(Greeter { greeted }.start())
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<CounterInner>);

#[derive(Debug, Default)]
struct CounterInner {
    count: AtomicU64,
    #[cfg(feature = "metrics")]
    metric: std::sync::OnceLock<metrics::Counter>,
}

impl Counter {
    /// Returns a counter at 0.
    pub fn new() -> Self {
        Counter::default()
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds to the count.
    pub fn add(&self, count: u64) {
        self.0.count.fetch_add(count, Relaxed);
        #[cfg(feature = "metrics")]
        if let Some(metric) = self.0.metric.get() {
            // The recorder keeps the largest count, whichever thread reports first.
            metric.absolute(self.get());
        }
    }

    /// Returns the count.
    pub fn get(&self) -> u64 {
        self.0.count.load(Relaxed)
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn export(&self, name: &str) {
        let metric = self.0.metric.get_or_init(|| metrics::counter!(name.to_owned()));
        metric.absolute(self.get());
    }
}

/// A number that rises and falls, such as the jobs that wait.
///
/// [`App::gauge`](crate::App::gauge) shows it in `INFO`, and exports it with the feature `metrics`. Clones share the
/// number, on any thread.
///
/// ```
/// use thegiant::{App, Gauge};
///
/// let waiting = Gauge::new(); // an actor has a clone
/// waiting.add(3);
/// waiting.sub(1);
/// assert_eq!(waiting.get(), 2);
/// let app = App::new().gauge("Jobs", "jobs_waiting", &waiting);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<GaugeInner>);

#[derive(Debug, Default)]
struct GaugeInner {
    value: AtomicI64,
    #[cfg(feature = "metrics")]
    metric: std::sync::OnceLock<metrics::Gauge>,
}

impl Gauge {
    /// Returns a gauge at 0.
    pub fn new() -> Self {
        Gauge::default()
    }

    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.value.store(value, Relaxed);
        #[cfg(feature = "metrics")]
        if let Some(metric) = self.0.metric.get() {
            metric.set(value as f64);
        }
    }

    /// Adds to the value.
    pub fn add(&self, more: i64) {
        self.0.value.fetch_add(more, Relaxed);
        #[cfg(feature = "metrics")]
        if let Some(metric) = self.0.metric.get() {
            metric.increment(more as f64);
        }
    }

    /// Subtracts from the value.
    pub fn sub(&self, less: i64) {
        self.add(-less);
    }

    /// Returns the value.
    pub fn get(&self) -> i64 {
        self.0.value.load(Relaxed)
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn export(&self, name: &str) {
        let metric = self.0.metric.get_or_init(|| metrics::gauge!(name.to_owned()));
        metric.set(self.get() as f64);
    }
}
