//! Commands that are put together by chance.

use super::script::words;

/// Commands whose replies depend on nothing but what was sent before.
pub(super) const NAMES: &str = "GET SET SETNX SETEX PSETEX GETSET GETDEL GETEX APPEND STRLEN INCR DECR INCRBY DECRBY \
                     INCRBYFLOAT MGET MSET MSETNX GETRANGE SETRANGE SUBSTR DEL UNLINK EXISTS EXPIRE PEXPIRE EXPIREAT \
                     PEXPIREAT EXPIRETIME PEXPIRETIME TTL PTTL PERSIST TYPE KEYS RENAME RENAMENX TOUCH COPY FLUSHDB";

const KEYS: &str = "a b c";

/// Numbers, among them no time that could come while the test runs, and no length of megabytes.
const VALUES: &str = r#"a b "" 0 -1 -7 01 1.5 -0.1 3e2 100000 33177117420123 9223372036854775807
                        -9223372036854775808 9223372036854775808 1e-9 FOO * "[a-b]" ?"#;

/// Each at most once in a command: of two, the toolkit says that it is a syntax error.
const OPTIONS: &str = "NX XX GET EX PX EXAT PXAT KEEPTTL PERSIST REPLACE DB ASYNC SYNC";

/// A generator of numbers that begins with a seed (SplitMix64).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn pick(&mut self, from: &str) -> Vec<u8> {
        let mut from = words(from);
        from.swap_remove(self.below(from.len()))
    }

    /// A command, often a right one.
    pub(super) fn command(&mut self) -> Vec<Vec<u8>> {
        let mut command = vec![self.pick(NAMES)];
        for position in 0..self.below(7) {
            let word = match (position, self.below(10)) {
                (0, 1..) => self.pick(KEYS),
                (1, 2..) | (_, 0..5) => self.pick(VALUES),
                _ => self.pick(OPTIONS),
            };
            if !words(OPTIONS).contains(&word) || !command.contains(&word) {
                command.push(word);
            }
        }
        command
    }

    /// A decimal number of some digits.
    pub(super) fn decimal(&mut self) -> String {
        let sign = ["", "-"][self.below(2)];
        let mut digits = |count: usize| (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect();
        let (whole, fraction): (String, String) = (digits(4), digits(6));
        format!("{sign}{whole}.{fraction}")
    }
}
