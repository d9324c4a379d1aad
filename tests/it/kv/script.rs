//! Scripts of commands that are sent to `kv` and to a real redis-server, whose replies are compared.

use thegiant::Bytes;

use crate::support::{Process, RawClient, Reply, request};

/// Both servers.
pub(super) struct Servers {
    redis: Process,
    kv: Process,
}

impl Servers {
    pub(super) fn start() -> Self {
        Servers { redis: Process::redis(), kv: Process::example("kv") }
    }

    /// A client of each.
    pub(super) fn connect(&self, protocol: u8) -> Pair {
        let [redis, kv] = [&self.redis, &self.kv].map(|server| {
            let mut client = RawClient::connect(server.address());
            client.ask(format!("HELLO {protocol}\r\n"));
            client
        });
        Pair { redis, kv }
    }
}

/// A client of `kv` and one of redis-server.
pub(super) struct Pair {
    pub(super) redis: RawClient,
    pub(super) kv: RawClient,
}

impl Pair {
    /// Sends each line as a command and compares the replies. Lines with a `#` are comments; at an
    /// empty one all is flushed.
    pub(super) fn play(&mut self, script: &str) {
        for (line, number) in script.lines().zip(1..) {
            match line.as_bytes() {
                [] => self.flush(),
                [b'#', ..] => {}
                _ => assert_eq!(self.difference(&words(line)), None, "line {number}: {line}"),
            }
        }
        self.flush();
    }

    /// Sends the words of a line as a command and compares the replies.
    pub(super) fn line(&mut self, line: &str) {
        self.command(&words(line));
    }

    /// Sends a command and compares the replies.
    pub(super) fn command(&mut self, words: &[impl AsRef<[u8]>]) {
        if let Some(difference) = self.difference(words) {
            let words = words.iter().map(|word| String::from_utf8_lossy(word.as_ref()));
            panic!("{:?}: {difference:?}", words.collect::<Vec<_>>());
        }
    }

    /// Both replies, if they are not alike.
    fn difference(&mut self, words: &[impl AsRef<[u8]>]) -> Option<Difference> {
        let request = request(words);
        self.redis.send(&request);
        let [kv, redis] = [self.kv.ask(&request), self.redis.reply()];
        let command = words[0].as_ref().to_ascii_uppercase();
        (!alike(&command, &kv, &redis)).then_some(Difference { kv, redis })
    }

    fn flush(&mut self) {
        self.line("FLUSHALL");
        self.line("SELECT 0");
    }
}

#[derive(Debug, PartialEq)]
struct Difference {
    kv: Bytes,
    redis: Bytes,
}

/// Whether these are the same reply to a command: byte by byte, except where that cannot be.
fn alike(command: &[u8], kv: &Bytes, redis: &Bytes) -> bool {
    let replies = || [kv, redis].map(|bytes| Reply::only(bytes).expect("a whole reply"));
    match (command, redis.first()) {
        (b"TTL" | b"PTTL" | b"EXPIRETIME" | b"PEXPIRETIME", Some(b':')) => {
            let [Reply::Integer(kv), Reply::Integer(redis)] = replies() else { return false };
            kv == redis || kv > 0 && redis > 0 && kv.abs_diff(redis) <= time_between(command, redis)
        }
        // The order is that of a hash table.
        (b"KEYS" | b"SCAN", Some(b'*')) => {
            let [kv, redis] = replies().map(sorted);
            kv == redis
        }
        _ => kv == redis,
    }
}

/// What may lie between the two times in the replies to a command: a second, unless it is a time
/// that was given as such. Those are in the year 3021.
fn time_between(command: &[u8], time: i64) -> u64 {
    const YEAR_3021: i64 = 33_166_000_000;
    match command {
        b"EXPIRETIME" => (time < YEAR_3021).into(),
        b"PEXPIRETIME" if time >= YEAR_3021 * 1000 => 0,
        b"TTL" => 1,
        _ => 1000,
    }
}

/// Without the order of its elements.
pub(super) fn sorted(reply: Reply) -> Reply {
    let Reply::Array(elements) = reply else { return reply };
    let mut elements: Vec<Reply> = elements.into_iter().map(sorted).collect();
    elements.sort_by_cached_key(|element| format!("{element:?}"));
    Reply::Array(elements)
}

/// The words of a line, as redis-cli reads them: `"a b\r\n\xff"` is one.
pub(super) fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.as_bytes();
    loop {
        rest = rest.trim_ascii_start();
        let (word, behind) = match rest {
            [] => return words,
            [b'"', quoted @ ..] => quoted_word(quoted),
            plain => {
                let end = plain.iter().position(u8::is_ascii_whitespace).unwrap_or(plain.len());
                (plain[..end].to_vec(), &plain[end..])
            }
        };
        words.push(word);
        rest = behind;
    }
}

fn quoted_word(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut word = Vec::new();
    loop {
        let (byte, behind) = match rest {
            [b'"', behind @ ..] => return (word, behind),
            [b'\\', b'x', high, low, behind @ ..] => {
                let digit = |digit: u8| (digit as char).to_digit(16).expect("a hexadecimal digit") as u8;
                (digit(*high) << 4 | digit(*low), behind)
            }
            [b'\\', b'r', behind @ ..] => (b'\r', behind),
            [b'\\', b'n', behind @ ..] => (b'\n', behind),
            [b'\\', escaped, behind @ ..] => (*escaped, behind),
            [byte, behind @ ..] => (*byte, behind),
            [] => panic!("a quote without an end"),
        };
        word.push(byte);
        rest = behind;
    }
}
