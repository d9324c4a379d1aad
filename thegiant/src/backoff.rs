//! The delay between attempts that fail.

use std::{hash::BuildHasher, time::Duration};

use foldhash::quality::RandomState;

/// Computes the delay before the next attempt.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    /// Counts a failure and returns the delay.
    pub(crate) fn next(&mut self) -> Duration {
        let doubled = Self::FIRST.saturating_mul(1 << self.failures.min(10)).min(Self::LONGEST);
        self.failures += 1;
        // The random part spreads the attempts of proxies that lost the same server at the same time.
        doubled.mul_f64(1.0 - random_fraction() / 2.0)
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Returns a random number from 0 to 1.
fn random_fraction() -> f64 {
    // Each `RandomState` has a different seed.
    let bits = RandomState::default().hash_one(0);
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_the_delay_with_jitter() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..100).map(|_| backoff.next()).collect();
        let is_within = |(attempt, wait): (u32, &Duration)| {
            let max = Backoff::FIRST.saturating_mul(1 << attempt.min(20)).min(Backoff::LONGEST);
            (max / 2..=max).contains(wait)
        };
        assert!((0..).zip(&waits).all(is_within), "{waits:?}");
        assert!(waits[20..].iter().any(|wait| *wait != waits[20]), "{waits:?}");
        backoff.reset();
        assert!(backoff.next() <= Backoff::FIRST);
    }
}
