//! Rows that nobody has written.

/// Commands whose replies depend on nothing but what was sent before.
const NAMES: &str = "GET SET SETNX SETEX PSETEX GETSET GETDEL GETEX APPEND STRLEN INCR DECR INCRBY DECRBY \
                     INCRBYFLOAT MGET MSET MSETNX GETRANGE SETRANGE SUBSTR DEL UNLINK EXISTS EXPIRE PEXPIRE EXPIREAT \
                     PEXPIREAT EXPIRETIME PEXPIRETIME TTL PTTL PERSIST TYPE KEYS RENAME RENAMENX TOUCH COPY FLUSHDB";

const KEYS: &str = "a b c";

/// Numbers, among them no time that could come while the test runs, and no length of megabytes.
const VALUES: &str = r#"a b "" 0 -1 -7 01 1.5 -0.1 3e2 100000 33177117420123 9223372036854775807
                        -9223372036854775808 9223372036854775808 1e-9 FOO * "[a-b]" ?"#;

/// Each at most once in a command: of two, the toolkit says that it is a syntax error.
const OPTIONS: &str = "NX XX GET EX PX EXAT PXAT KEEPTTL PERSIST REPLACE DB ASYNC SYNC";

/// Commands that are put together by chance, often right ones.
pub(super) fn commands() -> String {
    let mut chance = Chance(7);
    paragraphs(50, 100, || chance.command())
}

/// Sums of decimal fractions.
pub(super) fn sums() -> String {
    let mut chance = Chance(7);
    paragraphs(10, 50, || format!("SET k {}\nINCRBYFLOAT k {}\n", chance.decimal(), chance.decimal()))
}

/// All parts of some strings.
pub(super) fn ranges() -> String {
    let bounds = || -7..=7;
    let ranges = bounds().flat_map(|start| bounds().map(move |end| format!("GETRANGE k {start} {end}\n")));
    let ranges: String = ranges.collect();
    ["\"\"", "x", "hello"].map(|value| format!("SET k {value}\n{ranges}\n")).concat()
}

/// Every byte where `$` should be. (Redis takes a NUL for the end of what it has, and waits for more.)
pub(super) fn bulk_types() -> String {
    (1..=u8::MAX).map(|byte| format!("> *1\\r\\n\\x{byte:02x}\\r\\n\n\n")).collect()
}

fn paragraphs(count: usize, len: usize, mut row: impl FnMut() -> String) -> String {
    (0..count).map(|_| (0..len).map(|_| row()).collect::<String>() + "\n").collect()
}

/// A generator of numbers that begins with a seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn pick(&mut self, from: &'static str) -> &'static str {
        let count = from.split_whitespace().count();
        from.split_whitespace().nth(self.below(count)).expect("one of them")
    }

    /// A row with a command, often a right one.
    fn command(&mut self) -> String {
        let name = self.pick(NAMES);
        let mut words = vec![name];
        for position in 0..self.below(7) {
            let word = match (position, self.below(10)) {
                (0, 1..) => self.pick(KEYS),
                (1, 2..) | (_, 0..5) => self.pick(VALUES),
                _ => self.pick(OPTIONS),
            };
            if !OPTIONS.split(' ').any(|option| option == word) || !words.contains(&word) {
                words.push(word);
            }
        }
        let mark = match name {
            "TTL" | "EXPIRETIME" => "~1 ",
            "PTTL" | "PEXPIRETIME" => "~1000 ",
            "KEYS" => "sorted ",
            _ => "",
        };
        format!("{mark}{}\n", words.join(" "))
    }

    /// A decimal number of some digits.
    fn decimal(&mut self) -> String {
        let sign = ["", "-"][self.below(2)];
        let mut digits = |count: usize| (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect();
        let (whole, fraction): (String, String) = (digits(4), digits(6));
        format!("{sign}{whole}.{fraction}")
    }
}
