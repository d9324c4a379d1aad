//! A client that writes and reads its own keys, and checks each reply.

use std::{
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use thegiant_resp::{Error, Value};

use super::{
    course::{Course, Effect, Moment},
    link::Link,
    replies::{explained, integer, is_ok, show, text_of, value_of},
    values::{Counter, Pocket, Register},
};
use crate::{Result, batch::request};

/// Keys with one hash tag, and keys that are on any server.
pub(super) const TAGGED: usize = 3;
const SPREAD: usize = 4;

const SCRIPT: &str = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[2])";

/// Maximum time between two batches.
const MAX_PAUSE: Duration = Duration::from_millis(600);

pub(crate) struct Client<'c> {
    pub(super) course: &'c Course,
    pub(super) index: usize,
    pub(super) link: Link,
    pub(super) rng: Rng,
    pub(super) registers: Vec<Register>,
    pub(super) counter: Counter,
    pub(super) pocket: Pocket,
    /// The hash of the script, if all servers have it.
    pub(super) hash: Option<String>,
    pub(super) echoed: u64,
    pub(super) has_failed: bool,
}

/// A request, with the data to check its reply.
enum Asked {
    Set(usize, u64),
    Get(usize),
    Increment,
    Count,
    Echo(String),
    SetAll(Vec<(usize, u64)>),
    GetAll(Vec<usize>),
    Script(usize, u64),
    Transaction(usize, u64),
    /// `DEL`, `RPUSH` and `BLPOP`.
    PutAndTake(u64),
}

/// A key and the value that the client has read last.
pub(crate) type Audit = Vec<(String, Option<Vec<u8>>)>;

/// Runs a client until the end. Returns its keys.
pub(crate) fn run(course: &Course, index: usize, rng: Rng) -> Result<Audit> {
    let mut client = Client::new(course, index, rng)?;
    while !course.is_over() {
        let begun = Instant::now();
        client.has_failed = false;
        match client.rng.u8(..10) {
            0 => client.watch()?,
            _ => client.batch()?,
        }
        if client.link.has_surplus() {
            return Err("more replies than requests".into());
        }
        if !client.has_failed {
            course.served(index, begun);
        }
        thread::sleep(MAX_PAUSE.mul_f64(client.rng.f64()));
    }
    // After a failure, the fault may go on.
    if course.failures().is_empty() { client.audit() } else { Ok(Audit::new()) }
}

impl<'c> Client<'c> {
    fn new(course: &'c Course, index: usize, rng: Rng) -> Result<Self> {
        let mut link = Link::open(&course.address)?;
        if index % 2 == 1 {
            link.call("HELLO 3")?;
        }
        let tagged = (0..TAGGED).map(|key| Register::new(format!("{{{index}}}:{key}")));
        let spread = (0..SPREAD).map(|key| Register::new(format!("{index}:{key}")));
        Ok(Client {
            course,
            index,
            link,
            rng,
            registers: tagged.chain(spread).collect(),
            counter: Counter::new(format!("{{{index}}}:count")),
            pocket: Pocket::new(format!("{{{index}}}:list")),
            hash: None,
            echoed: 0,
            has_failed: false,
        })
    }

    /// Sends a random pipeline, and checks its replies.
    fn batch(&mut self) -> Result<()> {
        if self.hash.is_none() && self.rng.u8(..4) == 0 {
            self.load()?;
        }
        let depth = match self.rng.u8(..10) {
            0..4 => 1,
            4..9 => self.rng.usize(2..15),
            _ => self.rng.usize(15..120),
        };
        let mut requests = Vec::new();
        let asked: Vec<_> = (0..depth).map(|_| self.ask(&mut requests)).collect();
        let sent = self.course.moment();
        self.link.send(&requests)?;
        for asked in asked {
            self.check(asked, sent)?;
        }
        Ok(())
    }

    /// Appends a random request.
    fn ask(&mut self, requests: &mut Vec<u8>) -> Asked {
        let register = self.rng.usize(..TAGGED + SPREAD);
        let tagged = self.rng.usize(..TAGGED);
        let mut push = |words: &[&str]| {
            requests.extend(request(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()));
        };
        match self.rng.u8(..20) {
            0..5 => {
                let (key, number, value) = self.write(register);
                push(&["SET", &key, &value]);
                Asked::Set(register, number)
            }
            5..10 => {
                push(&["GET", &self.registers[register].key]);
                Asked::Get(register)
            }
            10 | 11 => {
                push(&["INCR", self.counter.next()]);
                Asked::Increment
            }
            12 => {
                push(&["GET", &self.counter.key]);
                Asked::Count
            }
            13 => {
                self.echoed += 1;
                let text = format!("{}:{}", self.index, self.echoed);
                push(&["ECHO", &text]);
                Asked::Echo(text)
            }
            14 => {
                let mut words = vec!["MSET".to_owned()];
                let mut writes = Vec::new();
                for register in self.several() {
                    let (key, number, value) = self.write(register);
                    words.extend([key, value]);
                    writes.push((register, number));
                }
                push(&words.iter().map(String::as_str).collect::<Vec<_>>());
                Asked::SetAll(writes)
            }
            15 => {
                let registers: Vec<_> = self.several().collect();
                let keys = registers.iter().map(|register| &self.registers[*register].key[..]);
                push(&["MGET"].into_iter().chain(keys).collect::<Vec<_>>());
                Asked::GetAll(registers)
            }
            16 => {
                let (key, number, value) = self.write(tagged);
                let (name, script) = match &self.hash {
                    Some(hash) => ("EVALSHA", &hash[..]),
                    None => ("EVAL", SCRIPT),
                };
                push(&[name, script, "2", &key, self.counter.next(), &value]);
                Asked::Script(tagged, number)
            }
            17 | 18 => {
                let (key, number, value) = self.write(tagged);
                push(&["MULTI"]);
                push(&["SET", &key, &value]);
                push(&["INCR", self.counter.next()]);
                push(&["GET", &key]);
                push(&["EXEC"]);
                Asked::Transaction(tagged, number)
            }
            _ => {
                let (number, element) = self.pocket.next();
                push(&["DEL", &self.pocket.key]);
                push(&["RPUSH", &self.pocket.key, &element]);
                push(&["BLPOP", &self.pocket.key, "1"]);
                Asked::PutAndTake(number)
            }
        }
    }

    /// Returns the keys with the hash tag, or the others.
    fn several(&mut self) -> std::ops::Range<usize> {
        if self.rng.bool() { 0..TAGGED } else { TAGGED..TAGGED + SPREAD }
    }

    /// Returns the key, the number and the value of a new write.
    pub(super) fn write(&mut self, register: usize) -> (String, u64, String) {
        let len = match self.rng.u32(..5000) {
            // The balancer isolates requests of this length.
            0 => 1_100_000,
            1..20 => self.rng.usize(1000..100_000),
            _ => self.rng.usize(..200),
        };
        let register = &mut self.registers[register];
        let number = register.next();
        (register.key.clone(), number, register.value(number, len))
    }

    /// Reads and checks the reply to a request.
    fn check(&mut self, asked: Asked, sent: Moment) -> Result<()> {
        if let Asked::Transaction(register, number) = asked {
            return self.check_transaction(register, number, sent);
        }
        if let Asked::PutAndTake(number) = asked {
            return self.check_list(number, sent);
        }
        let reply = self.reply()?;
        let effect = match &reply {
            Value::Error(error) => Some(self.error(error, sent)?),
            _ => None,
        };
        let course = self.course;
        match (asked, effect, reply) {
            (Asked::Set(register, number), None, reply) => {
                is_ok(&reply)?;
                self.registers[register].confirm(number, sent);
            }
            (Asked::Set(register, number), Some(effect), _) => {
                self.registers[register].fail(number, effect, course);
            }
            (Asked::Get(register), None, reply) => {
                self.registers[register].read(value_of(&reply)?, sent, course)?
            }
            (Asked::Increment, None, reply) => self.counter.incremented(integer(&reply)?, sent, course)?,
            (Asked::Increment, Some(effect), _) => self.counter.fail(effect, course),
            (Asked::Count, None, reply) => {
                let count = value_of(&reply)?.map_or(Ok("0"), std::str::from_utf8)?.parse()?;
                self.counter.read(count, sent, course)?;
            }
            (Asked::Echo(text), None, reply) => {
                if reply.as_str() != Some(&text) {
                    return Err(format!("ECHO {text} replied {}", show(&reply)).into());
                }
            }
            (Asked::SetAll(writes), None, reply) => {
                is_ok(&reply)?;
                for (register, number) in writes {
                    self.registers[register].confirm(number, sent);
                }
            }
            (Asked::SetAll(writes), Some(_), _) => {
                // The parts of other servers may have been run.
                for (register, number) in writes {
                    self.registers[register].fail(number, Effect::Doubtful, course);
                }
            }
            (Asked::GetAll(registers), None, reply) => {
                let values = reply.as_array().filter(|values| values.len() == registers.len());
                let values = values.ok_or_else(|| format!("MGET replied {}", show(&reply)))?;
                for (register, value) in registers.into_iter().zip(values) {
                    self.registers[register].read(value_of(value)?, sent, course)?;
                }
            }
            (Asked::Script(register, number), None, reply) => {
                self.registers[register].confirm(number, sent);
                self.counter.incremented(integer(&reply)?, sent, course)?;
            }
            (Asked::Script(register, number), Some(effect), _) => {
                self.registers[register].fail(number, effect, course);
                self.counter.fail(effect, course);
            }
            (Asked::Get(_) | Asked::Count | Asked::Echo(_) | Asked::GetAll(_), Some(_), _) => {}
            (Asked::Transaction(..) | Asked::PutAndTake(_), ..) => return Err("checked elsewhere".into()),
        }
        Ok(())
    }

    /// Checks the replies to `DEL`, `RPUSH` and `BLPOP`.
    fn check_list(&mut self, number: u64, sent: Moment) -> Result<()> {
        let course = self.course;
        let mut is_put = false;
        match self.reply()? {
            Value::Error(error) => {
                let effect = self.error(&error, sent)?;
                self.pocket.fail(effect, course);
            }
            reply => {
                integer(&reply)?;
                self.pocket.empty(sent);
            }
        }
        match self.reply()? {
            Value::Error(error) => {
                let effect = self.error(&error, sent)?;
                self.pocket.fail(effect, course);
                if effect == Effect::Doubtful {
                    self.pocket.put(number, course);
                }
            }
            reply => {
                integer(&reply)?;
                self.pocket.put(number, course);
                is_put = true;
            }
        }
        match self.reply()? {
            Value::Error(error) => {
                let effect = self.error(&error, sent)?;
                self.pocket.fail(effect, course);
            }
            Value::Null if is_put && !self.pocket.may_be_empty(course) => {
                Err(format!("BLPOP {} has timed out, but RPUSH was acknowledged", self.pocket.key))?;
            }
            Value::Null => {}
            Value::Array(pair) if pair.len() == 2 && pair[0].as_str() == Some(&self.pocket.key) => {
                self.pocket.took(value_of(&pair[1])?.unwrap_or_default(), course)?;
            }
            other => return Err(format!("BLPOP replied {}", show(&other)).into()),
        }
        Ok(())
    }

    /// Loads the script into all servers.
    fn load(&mut self) -> Result<()> {
        let sent = self.course.moment();
        match self.link.ask(&["SCRIPT", "LOAD", SCRIPT])? {
            Value::Error(error) => drop(self.error(&error, sent)?),
            reply => self.hash = Some(text_of(reply)?),
        }
        Ok(())
    }

    /// Reads all keys at the end, when no error may happen.
    fn audit(&mut self) -> Result<Audit> {
        let sent = self.course.moment();
        let mut audit = Vec::new();
        for register in &mut self.registers {
            let reply = self.link.ask(&["GET", &register.key])?;
            let value = value_of(&reply)?;
            register.read(value, sent, self.course)?;
            audit.push((register.key.clone(), value.map(<[u8]>::to_vec)));
        }
        let reply = self.link.ask(&["GET", &self.counter.key])?;
        audit.push((self.counter.key.clone(), value_of(&reply)?.map(<[u8]>::to_vec)));
        Ok(audit)
    }

    pub(super) fn reply(&mut self) -> Result<Value> {
        let reply = self.link.reply()?;
        self.course.commands.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(reply)
    }

    /// Counts an error. Fails if it is wrong, or if no fault explains it.
    pub(super) fn error(&mut self, error: &Error, sent: Moment) -> Result<Effect> {
        if error.code() == "NOSCRIPT" {
            // A server forgets its scripts when it starts again.
            self.hash = None;
            self.course.note("errors NOSCRIPT");
            return Ok(Effect::None);
        }
        self.has_failed = true;
        explained(self.course, error, sent)
    }
}
