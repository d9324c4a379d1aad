//! Generates rows at random.

/// Commands whose replies depend only on the earlier requests.
const NAMES: &str = "GET SET SETNX SETEX PSETEX GETSET GETDEL GETEX APPEND STRLEN INCR DECR INCRBY DECRBY \
                     INCRBYFLOAT MGET MSET MSETNX GETRANGE SETRANGE SUBSTR DEL UNLINK EXISTS EXPIRE PEXPIRE EXPIREAT \
                     PEXPIREAT EXPIRETIME PEXPIRETIME TTL PTTL PERSIST TYPE KEYS RENAME RENAMENX TOUCH COPY FLUSHDB";

const KEYS: &str = "a b c";

/// Values and numbers. No number is a time that could pass during the test, or a length of megabytes.
const VALUES: &str = r#"a b "" 0 -1 -7 01 1.5 -0.1 3e2 100000 33177117420123 9223372036854775807
                        -9223372036854775808 9223372036854775808 1e-9 FOO * "[a-b]" ?"#;

/// Each option occurs at most once in a command, because the toolkit refuses a repeated one
/// (`differences.txt`).
const OPTIONS: &str = "NX XX GET EX PX EXAT PXAT KEEPTTL PERSIST REPLACE DB ASYNC SYNC";

/// Generates random commands, most of them valid.
pub(super) fn commands() -> String {
    let mut chance = Chance(7);
    paragraphs(50, 100, || chance.command())
}

/// Generates transactions of one client, and of two clients that change each other's watched keys.
pub(super) fn transactions() -> String {
    let mut chance = Chance(7);
    let single = paragraphs(50, 40, || chance.step());
    let mut chance = Chance(8);
    let both = paragraphs(100, 60, || {
        let prefix = if chance.below(3) == 0 { "other " } else { "" };
        format!("{prefix}{}", chance.step())
    });
    single + &both
}

/// Generates two clients that track keys, one of them in broadcast mode.
pub(super) fn tracking() -> String {
    let mut chance = Chance(9);
    let talk = |chance: &mut Chance| {
        let prefix = if chance.below(2) == 0 { "other " } else { "" };
        format!("{prefix}{}", chance.tracked_step())
    };
    let begin = "HELLO 3\nother HELLO 3\nCLIENT TRACKING ON\nother CLIENT TRACKING ON BCAST PREFIX a\n";
    (0..150).map(|_| begin.to_owned() + &paragraphs(1, 60, || talk(&mut chance))).collect()
}

/// Generates commands for two streams and their groups.
pub(super) fn streams() -> String {
    let mut chance = Chance(11);
    paragraphs(60, 60, || chance.stream_step())
}

/// Generates sums of decimal fractions.
pub(super) fn sums() -> String {
    let mut chance = Chance(7);
    paragraphs(10, 50, || format!("SET k {}\nINCRBYFLOAT k {}\n", chance.decimal(), chance.decimal()))
}

/// Generates every range of some strings.
pub(super) fn ranges() -> String {
    let bounds = || -7..=7;
    let ranges = bounds().flat_map(|start| bounds().map(move |end| format!("GETRANGE k {start} {end}\n")));
    let ranges: String = ranges.collect();
    ["\"\"", "x", "hello"].map(|value| format!("SET k {value}\n{ranges}\n")).concat()
}

/// Generates every byte in place of `$`. NUL is left out: Redis takes it for the end of its input and waits.
pub(super) fn bulk_types() -> String {
    (1..=u8::MAX).map(|byte| format!("> *1\\r\\n\\x{byte:02x}\\r\\n\n\n")).collect()
}

fn paragraphs(count: usize, len: usize, mut row: impl FnMut() -> String) -> String {
    (0..count).map(|_| (0..len).map(|_| row()).collect::<String>() + "\n").collect()
}

/// A seeded generator of random numbers (SplitMix64).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// Generates a command for streams, without commands whose replies depend on the time.
    fn stream_step(&mut self) -> String {
        let (key, group, consumer) = (self.pick("s t"), self.pick("g h"), self.pick("c d"));
        let mut id = || format!("{}-{}", self.below(5), self.below(4));
        let [one, two] = [id(), id()];
        let number = self.below(4);
        let step = match self.below(28) {
            0..=6 => format!("XADD {key} {}-* n {number}", self.below(5)),
            7 => format!("XADD {key} {one} n {number}"),
            8 => format!("XADD {key} MAXLEN {} 9-* n {number}", self.below(9)),
            9 => format!("XDEL {key} {one} {two}"),
            10 => format!("XTRIM {key} MINID {one}"),
            11 => format!("XRANGE {key} {one} {two}"),
            12 => format!("XREVRANGE {key} + ({one} COUNT {number}"),
            13 => format!("XREAD COUNT {number} STREAMS s t {one} {two}"),
            14 => format!("XINFO STREAM {key}"),
            15..=16 => format!("XGROUP CREATE {key} {group} {one}"),
            17 => format!("XGROUP SETID {key} {group} {one}"),
            18 => format!("XGROUP DELCONSUMER {key} {group} {consumer}"),
            19..=21 => format!("XREADGROUP GROUP {group} {consumer} COUNT {number} STREAMS {key} >"),
            22 => format!("XREADGROUP GROUP {group} {consumer} STREAMS {key} {one}"),
            23 => format!("XACK {key} {group} {one} {two}"),
            24 => format!("XPENDING {key} {group}"),
            25 => {
                format!("XCLAIM {key} {group} {consumer} 0 {one} {two}{}", self.pick_options("FORCE JUSTID"))
            }
            26 => format!("XAUTOCLAIM {key} {group} {consumer} 0 {one} COUNT {}", number + 1),
            _ => format!("groups XINFO GROUPS {key}"),
        };
        step + "\n"
    }

    /// Picks some of these words, each with a space before it.
    fn pick_options(&mut self, words: &'static str) -> String {
        words.split(' ').filter(|_| self.below(3) == 0).map(|word| format!(" {word}")).collect()
    }

    /// Returns a number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// Returns one of the words.
    pub(super) fn pick(&mut self, from: &'static str) -> &'static str {
        let count = from.split_whitespace().count();
        from.split_whitespace().nth(self.below(count)).expect("one of them")
    }

    /// Generates a row for a transaction and the commands around it.
    fn step(&mut self) -> String {
        let key = self.pick(KEYS);
        let step = match self.below(20) {
            0..3 => format!("WATCH {key}"),
            3 => format!("WATCH {key} {}", self.pick(KEYS)),
            4..7 => "MULTI".to_owned(),
            7..10 => "EXEC".to_owned(),
            10 => self.pick("DISCARD UNWATCH GET NOPE PING").to_owned(),
            11 => format!("SELECT {}", self.below(2)),
            12 => format!("ECHO {key}"),
            13..15 => format!("SET {key} {}", self.pick("1 x 17")),
            15 => format!("INCR {key}"),
            16 => format!("MSET {key} 1 {} 2", self.pick(KEYS)),
            17 => format!("APPEND {key} 1"),
            18 => format!("MGET {key} {}", self.pick(KEYS)),
            _ => format!("GET {key}"),
        };
        step + "\n"
    }

    /// Generates a row for keys that a client tracks.
    fn tracked_step(&mut self) -> String {
        let key = self.pick("a ab b c");
        let step = match self.below(24) {
            0 => format!("CLIENT TRACKING ON {}", self.pick("OPTIN OPTOUT NOLOOP BCAST")),
            1 => format!("CLIENT TRACKING ON BCAST PREFIX {key}"),
            2 => format!("CLIENT TRACKING ON REDIRECT {}", self.pick("99999 x")),
            3 => "CLIENT TRACKING ON".to_owned(),
            4 => "CLIENT TRACKING OFF".to_owned(),
            5 => format!("CLIENT CACHING {}", self.pick("YES NO")),
            6 => "CLIENT TRACKINGINFO".to_owned(),
            7 => "MULTI".to_owned(),
            8..10 => "EXEC".to_owned(),
            10 => format!("SELECT {}", self.below(2)),
            11 => format!("INCR {key}"),
            12 => format!("MSET {key} 1 {} 2", self.pick("a ab b c")),
            13..16 => format!("SET {key} {}", self.pick("1 x 17")),
            16 => self.pick("FLUSHALL PING NOPE DISCARD GET").to_owned(),
            17 => format!("MGET {key} {}", self.pick("a ab b c")),
            _ => format!("{} {key}", self.pick("GET EXISTS TTL STRLEN")),
        };
        step + "\n"
    }

    /// Generates a row with a command, often a valid one.
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
            "TTL" | "EXPIRETIME" => "seconds ",
            "PTTL" | "PEXPIRETIME" => "milliseconds ",
            "KEYS" => "sorted ",
            _ => "",
        };
        format!("{mark}{}\n", words.join(" "))
    }

    /// Generates a decimal number with up to ten digits.
    fn decimal(&mut self) -> String {
        let sign = ["", "-"][self.below(2)];
        let mut digits = |count: usize| (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect();
        let (whole, fraction): (String, String) = (digits(4), digits(6));
        format!("{sign}{whole}.{fraction}")
    }
}
