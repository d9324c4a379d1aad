//! Parses and formats numbers by the rules of Redis.

use std::{fmt, str};

use rustc_apfloat::{Float, Round, Status, ieee::X87DoubleExtended};
use thegiant::{
    FromArg,
    command::{ArgKind, ArgSpec, Arguments},
    prelude::*,
};

use crate::databases::Result;

/// A floating point number for `INCRBYFLOAT`.
///
/// Redis calculates with the 80-bit `long double` of x86 and prints 17 decimals. So 0.1 plus 0.2 gives 0.3,
/// while `f64` would give 0.30000000000000004.
#[derive(Clone, Copy)]
pub(crate) struct LongDouble(X87DoubleExtended);

impl LongDouble {
    pub(crate) const ZERO: LongDouble = LongDouble(X87DoubleExtended::ZERO);

    /// Parses the numbers that Redis accepts, except hexadecimal numbers without an exponent.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let text = str::from_utf8(text).ok().filter(|text| text.len() < MAX_DIGITS);
        text.and_then(long_double).map(LongDouble).ok_or(Error::NOT_A_FLOAT)
    }

    pub(crate) fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        let sum = (self.0 + other.0).value;
        sum.is_finite().then_some(LongDouble(sum))
    }
}

impl<'a> FromArg<'a> for LongDouble {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Double);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self> {
        LongDouble::parse(args.take()?)
    }
}

/// Maximum length of a number in Redis. The largest `long double` has fewer digits.
const MAX_DIGITS: usize = 5 * 1024;

fn long_double(text: &str) -> Option<X87DoubleExtended> {
    let magnitude = text.strip_prefix(['+', '-']).unwrap_or(text);
    if ["inf", "infinity"].iter().any(|infinity| magnitude.eq_ignore_ascii_case(infinity)) {
        return Some(X87DoubleExtended::INFINITY);
    }
    // The parser accepts an exponent without digits, and NaN. Redis accepts neither.
    magnitude.ends_with(|last: char| last.is_ascii_digit() || last == '.').then_some(())?;
    let parsed = X87DoubleExtended::from_str_r(text, Round::NearestTiesToEven).ok()?;
    let vanished = parsed.value.is_zero() && parsed.status.contains(Status::UNDERFLOW);
    Some(parsed.value).filter(|value| value.is_finite() && !vanished)
}

/// Formats 17 decimals, rounded half to even, without trailing zeros.
impl fmt::Display for LongDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mantissa, exponent) = self.parts();
        if exponent >= 0 {
            return write!(f, "{:1$.1$}", self.0, MAX_DIGITS);
        }
        let scaled = shift_rounding(u128::from(mantissa) * DECIMALS, exponent.unsigned_abs());
        let text = format!("{}.{:017}", scaled / DECIMALS, scaled % DECIMALS);
        let sign = if self.0.is_negative() && scaled != 0 { "-" } else { "" };
        write!(f, "{sign}{}", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

const DECIMALS: u128 = 100_000_000_000_000_000;

impl LongDouble {
    /// Returns (m, e) so that the absolute value of the number is m × 2^e.
    fn parts(self) -> (u64, i32) {
        const MANTISSA_BITS: u32 = 64;
        const BIAS: i32 = 16_383 + 63;
        let bits = self.0.to_bits();
        (bits as u64, ((bits >> MANTISSA_BITS) & 0x7fff) as i32 - BIAS)
    }
}

/// Divides by 2^`bits` and rounds half to even.
fn shift_rounding(number: u128, bits: u32) -> u128 {
    let Some(quotient) = number.checked_shr(bits) else { return 0 };
    let rest = number - (quotient << bits);
    let half = 1 << (bits - 1);
    quotient + u128::from(rest > half || (rest == half && quotient % 2 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let [a, b] = [a, b].map(|text| LongDouble::parse(text.as_bytes()).expect("a number"));
        a.checked_add(b).map(|sum| sum.to_string())
    }

    #[test]
    fn sums_are_formatted_as_in_redis() {
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("-1.5", "1.5", "0"),
            ("0", "-0.000000000000000001", "0"),
            ("0", "1e-17", "0.00000000000000001"),
            // A tie. The even neighbour is the lower one.
            ("0", "0.000003814697265625", "0.00000381469726562"),
            ("1234.5", "0.1", "1234.59999999999999998"),
            ("0", "18446744073709551616", "18446744073709551616"),
            ("0", "-1e25", "-10000000000000000000000000"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
        assert_eq!(sum("inf", "1"), None);
        assert_eq!(sum("1.1e4932", "1.1e4932"), None);
    }

    #[test]
    fn floats_are_parsed_as_in_redis() {
        for text in ["", " 1", "1 ", "abc", "nan", "nan1", "1e", "1e+", ".", "1.2.3", "1e5000", "1e-5000"] {
            assert!(LongDouble::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        for text in ["1.", ".5", "+1", "-INFINITY", "1E5", "1e-4930"] {
            assert!(LongDouble::parse(text.as_bytes()).is_ok(), "{text:?}");
        }
    }
}
