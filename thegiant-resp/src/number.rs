//! Numbers in text form.

/// Parses a decimal integer by the strict rule of Redis (`string2ll`).
///
/// The text is digits, optionally after a minus sign, without a leading zero, a plus sign or spaces. The result is `None`
/// if the text breaks this rule, or if the number is outside the range of `N`, of `i64` and of `u64`.
///
/// ```
/// use thegiant_resp::parse_integer;
///
/// assert_eq!(parse_integer::<i64>(b"-12"), Some(-12));
/// assert_eq!(parse_integer::<u8>(b"256"), None);
/// assert_eq!(parse_integer::<i64>(b" 1"), None);
/// ```
#[must_use]
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

/// Parses a floating point number by the rule of Redis for arguments.
///
/// The text is in decimal or scientific notation, or `inf` or `infinity` in any case. The result is `None` for NaN, for
/// surrounding spaces, and for a number whose magnitude is too large or too small for `f64`. Redis also accepts hexadecimal
/// notation; this function does not.
///
/// ```
/// use thegiant_resp::parse_float;
///
/// assert_eq!(parse_float(b"1.5e3"), Some(1500.0));
/// assert_eq!(parse_float(b"nan"), None);
/// ```
#[must_use]
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
    fn floats_accept_infinities_and_reject_nan() {
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
