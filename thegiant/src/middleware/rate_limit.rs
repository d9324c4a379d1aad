//! A limit on the rate of commands.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use actix_rt::time::Instant;
use bytes::Bytes;
use foldhash::quality::RandomState;

use super::{Decision, Middleware};
use crate::{Error, Request};

/// Refuses or delays commands beyond a rate.
///
/// It is a token bucket: each group of requests has a bucket that holds [`burst`](Self::burst) tokens and fills at the rate. A
/// command takes a token; without one, it is refused with `-RATELIMIT too many commands`.
///
/// ```
/// use std::time::Duration;
/// use thegiant::{middleware::RateLimit, prelude::*};
///
/// let app = || {
///     App::new()
///         // A connection: 1,000 commands a second, of which 100 at once. Further commands wait, for up to a second.
///         .middleware(RateLimit::per_client(1000).burst(100).delay(Duration::from_secs(1)))
///         // A machine: 20 passwords a minute.
///         .middleware(RateLimit::by(20, |request: &Request| {
///             let host = request.client().addr().ip()?.to_string();
///             request.is("AUTH").then_some(host)
///         }).per(Duration::from_secs(60)))
/// };
/// ```
///
/// A quota is a rate over a long time: `RateLimit::by(100_000, tenant).per(Duration::from_secs(86_400))`.
///
/// # Memory
/// A bucket takes about 60 bytes. Full buckets are removed, so there are at most twice as many as groups that have sent a command
/// within the time to fill a bucket.
pub struct RateLimit {
    group: Group,
    rate: u32,
    per: Duration,
    burst: u32,
    /// The longest delay before a command is refused.
    max_delay: Duration,
    error: Error,
    hasher: RandomState,
    /// The buckets, spread over several locks by the hash of their group.
    buckets: [Mutex<Buckets>; LOCKS],
}

/// Returns the name of the group of a request, or `None` for a request without a limit.
type Group = Box<dyn Fn(&Request<'_>) -> Option<Bytes> + Send + Sync>;

/// The number of locks, for servers with several workers.
const LOCKS: usize = 16;

/// The number of buckets behind one lock that are never removed.
const MIN_SWEEP: usize = 64;

/// Buckets by group. The value is the time when the bucket is full.
#[derive(Default)]
struct Buckets {
    full_at: HashMap<Bytes, Instant, RandomState>,
    /// The number of buckets at which the full ones are removed.
    sweep_at: usize,
}

impl RateLimit {
    /// Limits each connection to `rate` commands a second.
    #[track_caller]
    pub fn per_client(rate: u32) -> Self {
        RateLimit::by(rate, |request: &Request<'_>| {
            Some(Bytes::copy_from_slice(&request.client().id().to_le_bytes()))
        })
    }

    /// Limits each IP address to `rate` commands a second.
    ///
    /// All clients of a unix socket share one limit.
    #[track_caller]
    pub fn per_address(rate: u32) -> Self {
        RateLimit::by(rate, |request: &Request<'_>| {
            Some(request.client().addr().ip().map_or_else(String::new, |ip| ip.to_string()))
        })
    }

    /// Limits each group of requests to `rate` commands a second.
    ///
    /// `group` returns the name of the group, or `None` for a request without a limit.
    ///
    /// # Panics
    /// Panics if the rate is 0.
    #[track_caller]
    pub fn by<G: Into<Bytes>>(
        rate: u32,
        group: impl Fn(&Request<'_>) -> Option<G> + Send + Sync + 'static,
    ) -> Self {
        assert!(rate > 0, "a rate limit allows at least one command");
        RateLimit {
            group: Box::new(move |request| group(request).map(Into::into)),
            rate,
            per: Duration::from_secs(1),
            burst: rate,
            max_delay: Duration::ZERO,
            error: TOO_MANY,
            hasher: RandomState::default(),
            buckets: Default::default(),
        }
    }

    /// Sets the time in which the rate is allowed (default one second).
    #[must_use]
    pub fn per(mut self, per: Duration) -> Self {
        self.per = per;
        self
    }

    /// Sets how many commands may come at once after a pause (default the rate).
    ///
    /// # Panics
    /// Panics if it is 0.
    #[must_use]
    #[track_caller]
    pub fn burst(mut self, burst: u32) -> Self {
        assert!(burst > 0, "a rate limit allows at least one command");
        self.burst = burst;
        self
    }

    /// Delays commands beyond the rate for up to this time. Those that would wait longer are refused.
    #[must_use]
    pub fn delay(mut self, max: Duration) -> Self {
        self.max_delay = max;
        self
    }

    /// Sets the error of refused commands.
    #[must_use]
    pub fn error(mut self, error: impl Into<Error>) -> Self {
        self.error = error.into();
        self
    }

    /// Takes a token from a bucket. Returns the time until it is there; `None` if that is too long.
    fn take(&self, group: Bytes, now: Instant) -> Option<Duration> {
        let interval = self.per / self.rate;
        let burst = interval * self.burst;
        let lock = self.hasher.hash_one(&group) as usize % LOCKS;
        // No code panics while it holds the lock.
        let mut buckets = self.buckets[lock].lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.full_at.get(&group).copied().unwrap_or(now).max(now) + interval;
        let wait = (full_at - now).saturating_sub(burst);
        if wait > self.max_delay {
            return None;
        }
        buckets.full_at.insert(group, full_at);
        buckets.sweep(now);
        Some(wait)
    }
}

impl Buckets {
    /// Removes the full buckets, if there may be many.
    fn sweep(&mut self, now: Instant) {
        if self.full_at.len() > self.sweep_at.max(MIN_SWEEP) {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.sweep_at = 2 * self.full_at.len();
            self.full_at.shrink_to(self.sweep_at);
        }
    }
}

impl Middleware for RateLimit {
    fn before(&self, request: &Request<'_>) -> Decision {
        let Some(group) = (self.group)(request) else { return Decision::Run };
        match self.take(group, Instant::now()) {
            Some(Duration::ZERO) => Decision::Run,
            Some(wait) => Decision::Delay(wait),
            None => Decision::Refuse(self.error.clone()),
        }
    }
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RateLimit { rate, per, burst, .. } = self;
        f.debug_struct("RateLimit")
            .field("rate", rate)
            .field("per", per)
            .field("burst", burst)
            .finish_non_exhaustive()
    }
}

const TOO_MANY: Error = Error::from_static("RATELIMIT too many commands");

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(limit: &RateLimit, now: Instant, count: usize) -> Vec<Option<u64>> {
        let take = |_| limit.take(Bytes::from_static(b"a"), now).map(|wait| wait.as_millis() as u64);
        (0..count).map(take).collect()
    }

    #[test]
    fn a_bucket_holds_the_burst_and_fills_at_the_rate() {
        let limit = RateLimit::per_client(10).burst(2);
        let start = Instant::now();
        assert_eq!(waits(&limit, start, 3), [Some(0), Some(0), None]);
        assert_eq!(waits(&limit, start + Duration::from_millis(99), 1), [None]);
        assert_eq!(waits(&limit, start + Duration::from_millis(100), 2), [Some(0), None]);
        assert_eq!(waits(&limit, start + Duration::from_secs(9), 3), [Some(0), Some(0), None]);
    }

    #[test]
    fn delays_grow_up_to_the_maximum() {
        let limit = RateLimit::per_client(10).burst(1).delay(Duration::from_millis(250));
        assert_eq!(waits(&limit, Instant::now(), 4), [Some(0), Some(100), Some(200), None]);
    }

    #[test]
    fn full_buckets_are_removed() {
        let limit = RateLimit::per_client(1);
        let start = Instant::now();
        for second in 0..100 {
            for client in 0..2_000u32 {
                let group = Bytes::copy_from_slice(&(client + second * 2_000).to_le_bytes());
                assert!(limit.take(group, start + Duration::from_secs(2 * u64::from(second))).is_some());
            }
        }
        let buckets: usize =
            limit.buckets.iter().map(|one| one.lock().expect("no panic").full_at.len()).sum();
        assert!(buckets < 8_000, "{buckets} buckets are left of 200,000");
    }
}
