//! Times that mean the same after a restart.

use std::time::{Duration, Instant};

use thegiant::now;

use crate::database::millis;

/// A difference of more milliseconds than this means that the clock of the system was set, or that the machine slept.
const MAX_DRIFT: i64 = 1000;

/// A millisecond, without its last nanosecond.
const ALMOST_ONE: Duration = Duration::from_nanos(999_999);

/// Converts between the times of this process and milliseconds since 1970.
///
/// Two times keep their order, also if the clock of the system is set in between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    instant: Instant,
    millis: i64,
}

impl WallClock {
    pub(crate) fn start() -> Self {
        WallClock { instant: Instant::now(), millis: now() }
    }

    /// Follows the clock of the system, if it was set.
    pub(crate) fn follow(&mut self) {
        let present = WallClock::start();
        if self.millis(present.instant).abs_diff(present.millis) > MAX_DRIFT.unsigned_abs() {
            *self = present;
        }
    }

    pub(crate) fn millis(&self, instant: Instant) -> i64 {
        match instant >= self.instant {
            true => self.millis.saturating_add(millis(instant - self.instant)),
            // Rounds down as well, so that a millisecond is as long before the start as it is after it.
            false => self.millis.saturating_sub(millis(self.instant - instant + ALMOST_ONE)),
        }
    }

    /// Returns the time of the process. A time before all that it can express is the present.
    pub(crate) fn instant(&self, time: i64) -> Instant {
        let distance = Duration::from_millis(time.abs_diff(self.millis));
        let instant = match time >= self.millis {
            true => self.instant.checked_add(distance),
            false => self.instant.checked_sub(distance),
        };
        instant.unwrap_or(self.instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_after_both_conversions() {
        let clock = WallClock::start();
        for offset in [-7_200_000, -1, 0, 1, 7_200_000] {
            let millis = clock.millis + offset;
            assert_eq!(clock.millis(clock.instant(millis)), millis);
        }
        for extreme in [i64::MIN, i64::MAX] {
            clock.instant(extreme);
        }
    }

    #[test]
    fn a_millisecond_is_a_millisecond_before_the_start_too() {
        let clock = WallClock::start();
        let micros = |micros| {
            clock.millis(clock.instant(clock.millis - 3) + Duration::from_micros(micros)) - clock.millis
        };
        assert_eq!([0, 999, 1000, 1999, 2000, 2999, 3000, 3999].map(micros), [-3, -3, -2, -2, -1, -1, 0, 0]);
    }

    #[test]
    fn the_clock_follows_one_that_was_set() {
        let mut clock = WallClock::start();
        let before = clock.millis;
        clock.millis -= 60_000;
        clock.follow();
        assert!(clock.millis >= before);
    }
}
