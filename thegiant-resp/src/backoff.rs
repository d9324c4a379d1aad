//! The delay between attempts that fail.

use std::{collections::hash_map::RandomState, hash::BuildHasher, time::Duration};

/// Computes the delay before the next attempt, after one has failed.
///
/// The delay doubles from 100 ms up to 5 s. A random part of up to half is subtracted, which spreads the attempts of clients that lost
/// the same server at the same time.
///
/// ```
/// use std::time::Duration;
/// use thegiant_resp::Backoff;
///
/// let mut backoff = Backoff::default();
/// assert!(backoff.next_delay() <= Duration::from_millis(100));
/// assert!(backoff.next_delay() >= Duration::from_millis(100));
/// backoff.reset(); // An attempt has succeeded.
/// assert!(backoff.next_delay() <= Duration::from_millis(100));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    /// Counts a failure and returns the delay.
    #[must_use]
    pub fn next_delay(&mut self) -> Duration {
        let doubled = Self::FIRST.saturating_mul(1 << self.failures.min(10)).min(Self::LONGEST);
        self.failures = self.failures.saturating_add(1);
        doubled.mul_f64(1.0 - random_fraction() / 2.0)
    }

    /// Forgets the failures, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Returns a random number from 0 to 1.
fn random_fraction() -> f64 {
    // Each `RandomState` has other keys.
    f64::from(RandomState::new().hash_one(0) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_doubles_with_jitter_up_to_its_limit() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..100).map(|_| backoff.next_delay()).collect();
        let is_within = |(attempt, wait): (u32, &Duration)| {
            let max = Backoff::FIRST.saturating_mul(1 << attempt.min(20)).min(Backoff::LONGEST);
            (max / 2..=max).contains(wait)
        };
        assert!((0..).zip(&waits).all(is_within), "{waits:?}");
        assert!(waits[20..].iter().any(|wait| *wait != waits[20]), "{waits:?}");
        backoff.reset();
        assert!(backoff.next_delay() <= Backoff::FIRST);
    }
}
