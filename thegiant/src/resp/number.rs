//! Numbers as Redis reads them.

/// Reads a decimal integer by Redis' strict rule: an optional minus sign, no leading zero, no plus
/// sign, no space (`string2ll` in Redis), and in the range of `N`, at most that of `i64` and `u64`
/// together.
///
/// ```
/// use thegiant::resp::parse_integer;
///
/// assert_eq!(parse_integer::<i64>(b"-12"), Some(-12));
/// assert_eq!(parse_integer::<u8>(b"256"), None);
/// assert_eq!(parse_integer::<i64>(b" 1"), None);
/// ```
pub fn parse_integer<N: TryFrom<i128>>(text: &[u8]) -> Option<N> {
    let (negative, digits) = match text {
        [b'0'] => return N::try_from(0).ok(),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    let mut magnitude: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        magnitude = magnitude.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    let magnitude = i128::from(magnitude);
    N::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// Reads a floating point number as Redis does for a command's argument: decimal or scientific
/// notation, `inf` and `infinity` in any case; neither NaN, nor surrounding space, nor digits that
/// are beyond its range. (Redis also takes hexadecimal; this does not.)
///
/// ```
/// use thegiant::resp::parse_float;
///
/// assert_eq!(parse_float(b"1.5e3"), Some(1500.0));
/// assert_eq!(parse_float(b"nan"), None);
/// ```
pub fn parse_float(text: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    let mantissa = text.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or_default();
    let overflowed = number.is_infinite() && text.iter().any(u8::is_ascii_digit);
    let underflowed = number == 0.0 && mantissa.iter().any(|digit| matches!(digit, b'1'..=b'9'));
    (!number.is_nan() && !overflowed && !underflowed).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_strict() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX.into())),
            ("-9223372036854775808", Some(i64::MIN.into())),
            ("18446744073709551615", Some(u64::MAX.into())),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+4", None),
            ("04", None),
            (" 4", None),
            ("4 ", None),
            ("4x", None),
        ] {
            assert_eq!(parse_integer::<i128>(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn floats_take_infinities_and_refuse_nan() {
        assert_eq!(parse_float(b"3.5e2"), Some(350.0));
        assert_eq!(parse_float(b"-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_float(b"nan"), None);
        assert_eq!(parse_float(b" 1"), None);
        assert_eq!(parse_float(b"1e999"), None);
        assert_eq!(parse_float(b"-1e-999"), None);
        assert_eq!(parse_float(b"0e5"), Some(0.0));
        assert_eq!(parse_float(b""), None);
    }
}
