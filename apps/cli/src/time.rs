//! Times on the command line.

use std::time::Duration;

/// Parses milliseconds, at least one.
///
/// # Errors
/// If `text` is another number, or none.
pub fn millis(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(millis @ 1..=MAX_MILLIS) => Ok(Duration::from_millis(millis)),
        _ => Err(format!("expected milliseconds from 1 to {MAX_MILLIS}")),
    }
}

/// Parses seconds, with or without a fraction.
///
/// # Errors
/// If `text` is negative, too large, or no number.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("expected seconds from 0 to {MAX_SECONDS}"))
}

/// About thirty years: a time from now that the clock can hold.
const MAX_SECONDS: f64 = 1e9;
const MAX_MILLIS: u64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_bounded() {
        assert_eq!(millis("1500"), Ok(Duration::from_millis(1500)));
        assert_eq!(seconds("0.05"), Ok(Duration::from_millis(50)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        for wrong in ["", "-1", "nan", "inf", "1e300", "18446744073709551615", "1s"] {
            assert!(millis(wrong).is_err() && seconds(wrong).is_err(), "{wrong}");
        }
        assert!(millis("0").is_err());
    }
}
