//! The delay between attempts that fail.

use std::{collections::hash_map::RandomState, hash::BuildHasher, time::Duration};

/// Computes the delay before the next attempt.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(5);

    /// Counts a failure and returns the delay.
    pub(crate) fn next(&mut self) -> Duration {
        let doubled = Self::FIRST.saturating_mul(1 << self.failures.min(10)).min(Self::LONGEST);
        self.failures += 1;
        // The random part spreads the attempts of clients that lost the same server at the same time.
        let fraction = f64::from(RandomState::new().hash_one(0) as u32) / f64::from(u32::MAX);
        doubled.mul_f64(1.0 - fraction / 2.0)
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;

    #[test]
    fn a_delay_doubles_up_to_its_limit() {
        let mut backoff = Backoff::default();
        for attempt in 0..100 {
            let max = Backoff::FIRST.saturating_mul(1 << attempt.min(20)).min(Backoff::LONGEST);
            let delay = backoff.next();
            assert!((max / 2..=max).contains(&delay), "{attempt}: {delay:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= Backoff::FIRST);
    }
}
