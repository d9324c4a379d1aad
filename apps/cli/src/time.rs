//! Parses durations on the command line.

use std::time::Duration;

/// Parses a number of milliseconds, at least 1.
///
/// # Errors
/// Returns an error if `text` is not an integer, is 0 or is too large.
pub fn millis(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(millis @ 1..=MAX_MILLIS) => Ok(Duration::from_millis(millis)),
        _ => Err(format!("expected milliseconds from 1 to {MAX_MILLIS}")),
    }
}

/// Parses a number of seconds, with or without a fraction.
///
/// # Errors
/// Returns an error if `text` is not a number, is negative or is too large.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("expected seconds from 0 to {MAX_SECONDS}"))
}

/// About thirty years. The system clock can represent a time so far in the future.
const MAX_SECONDS: f64 = 1e9;
const MAX_MILLIS: u64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_out_of_range_are_rejected() {
        assert_eq!(millis("1500"), Ok(Duration::from_millis(1500)));
        assert_eq!(seconds("0.05"), Ok(Duration::from_millis(50)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        for wrong in ["", "-1", "nan", "inf", "1e300", "18446744073709551615", "1s"] {
            assert!(millis(wrong).is_err() && seconds(wrong).is_err(), "{wrong}");
        }
        assert!(millis("0").is_err());
    }
}
