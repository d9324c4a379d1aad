//! The keys of one client, and the values that they may have.

use std::time::Instant;

use super::course::{Course, Effect, Loss, Moment};
use crate::Result;

/// A key with a text. Each write has a number, and the value contains it with the name of the key.
pub(crate) struct Register {
    pub(crate) key: String,
    last: u64,
    acknowledged: (u64, Instant),
    /// Writes that may have been run, or may be run later, with the epoch of their error.
    doubts: Vec<(u64, u64)>,
}

impl Register {
    pub(crate) fn new(key: String) -> Register {
        Register { key, last: 0, acknowledged: (0, Instant::now()), doubts: Vec::new() }
    }

    /// Returns the number of a new write.
    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Returns the value of a write, which is at least this long.
    pub(crate) fn value(&self, number: u64, len: usize) -> String {
        let head = format!("{}#{number}#", self.key);
        let missing = len.saturating_sub(head.len());
        head + &"x".repeat(missing)
    }

    pub(crate) fn confirm(&mut self, number: u64, sent: Moment) {
        self.acknowledged = (number, Instant::now());
        self.forget(sent);
    }

    pub(crate) fn fail(&mut self, number: u64, effect: Effect, course: &Course) {
        if effect == Effect::Doubtful {
            self.doubts.push((number, course.moment().epoch));
        }
    }

    /// Checks a value that was read.
    pub(crate) fn read(&mut self, value: Option<&[u8]>, sent: Moment, course: &Course) -> Result<()> {
        let found = match value {
            None => 0,
            Some(value) => self.number_of(value)?,
        };
        let (expected, since) = self.acknowledged;
        if found != expected {
            let is_doubtful = self.doubts.iter().any(|(number, _)| *number == found);
            // After an ejection, the value of another server may be newer, too.
            let is_old = (found < expected || course.loss == Loss::Ejection) && course.may_be_lost(since);
            if !is_doubtful && !is_old {
                let doubts: Vec<_> = self.doubts.iter().map(|(number, _)| number).collect();
                return Err(format!(
                    "{} has write {found}; acknowledged is {expected}, {:.1} s ago; doubtful are {doubts:?}; the last is {}",
                    self.key,
                    since.elapsed().as_secs_f64(),
                    self.last
                )
                .into());
            }
            if is_old && !is_doubtful {
                course.note("acknowledged writes that the servers have lost");
                // The former master may still reply, so the newer value may come back.
                self.doubts.push((expected, course.moment().epoch));
            }
            self.acknowledged = (found, Instant::now());
        }
        self.forget(sent);
        Ok(())
    }

    fn number_of(&self, value: &[u8]) -> Result<u64> {
        let text = String::from_utf8_lossy(value);
        let number = || {
            let (number, padding) = text.strip_prefix(&self.key)?.strip_prefix('#')?.split_once('#')?;
            padding.bytes().all(|byte| byte == b'x').then_some(number.parse::<u64>().ok()?)
        };
        match number() {
            Some(number) if (1..=self.last).contains(&number) => Ok(number),
            _ => Err(format!(
                "{} has {}, which was never written to it",
                self.key,
                crate::batch::excerpt(value)
            )
            .into()),
        }
    }

    /// Forgets doubts that a reply in a later epoch has resolved.
    fn forget(&mut self, sent: Moment) {
        self.doubts.retain(|(_, epoch)| *epoch >= sent.epoch);
    }
}

/// A key with a number that only grows by one.
pub(crate) struct Counter {
    pub(crate) key: String,
    acknowledged: (i64, Instant),
    /// Epochs of the errors of increments that may have been run, or may be run later.
    doubts: Vec<u64>,
    /// Number of increments that were sent.
    sent: i64,
}

impl Counter {
    pub(crate) fn new(key: String) -> Counter {
        Counter { key, acknowledged: (0, Instant::now()), doubts: Vec::new(), sent: 0 }
    }

    pub(crate) fn fail(&mut self, effect: Effect, course: &Course) {
        if effect == Effect::Doubtful {
            self.doubts.push(course.moment().epoch);
        }
    }

    /// Counts an increment that is about to be sent.
    pub(crate) fn next(&mut self) -> &str {
        self.sent += 1;
        &self.key
    }

    /// Checks the reply to an increment.
    pub(crate) fn incremented(&mut self, found: i64, sent: Moment, course: &Course) -> Result<()> {
        self.check(found, 1, sent, course)
    }

    /// Checks a value that was read.
    pub(crate) fn read(&mut self, found: i64, sent: Moment, course: &Course) -> Result<()> {
        self.check(found, 0, sent, course)
    }

    fn check(&mut self, found: i64, by: i64, sent: Moment, course: &Course) -> Result<()> {
        let (expected, since) = (self.acknowledged.0 + by, self.acknowledged.1);
        let is_right = (expected..=expected + self.doubts.len() as i64).contains(&found);
        let is_old = !is_right && (by..=self.sent).contains(&found) && course.may_be_lost(since);
        if !is_right && !is_old {
            return Err(format!(
                "{} is {found}; expected is {expected} and up to {} more; acknowledged {:.1} s ago",
                self.key,
                self.doubts.len(),
                since.elapsed().as_secs_f64()
            )
            .into());
        }
        if is_old {
            course.note("counters that went back, or forth again, because the servers have lost a write");
        }
        self.acknowledged = (found, Instant::now());
        self.doubts.retain(|epoch| *epoch >= sent.epoch);
        Ok(())
    }
}

/// A list into which the client puts an element and takes it out again.
pub(crate) struct Pocket {
    pub(crate) key: String,
    last: u64,
    /// ArrayStream that the list may have, with the epoch in which it got them.
    left: Vec<(u64, u64)>,
    /// When the list was last known to be empty.
    emptied: Instant,
    /// When the list got its last element.
    put: Instant,
    /// Requests that may run later, and empty the list, with the epoch of their error.
    doubts: Vec<u64>,
}

impl Pocket {
    pub(crate) fn new(key: String) -> Pocket {
        Pocket {
            key,
            last: 0,
            left: Vec::new(),
            emptied: Instant::now(),
            put: Instant::now(),
            doubts: Vec::new(),
        }
    }

    pub(crate) fn next(&mut self) -> (u64, String) {
        self.last += 1;
        (self.last, format!("{}#{}", self.key, self.last))
    }

    /// The list may have this element.
    pub(crate) fn put(&mut self, number: u64, course: &Course) {
        self.left.push((number, course.moment().epoch));
        self.put = Instant::now();
    }

    /// Checks an element that was taken out. It must be one that may be left.
    pub(crate) fn took(&mut self, element: &[u8], course: &Course) -> Result<()> {
        let text = String::from_utf8_lossy(element);
        let number =
            text.strip_prefix(&self.key).and_then(|text| text.strip_prefix('#')?.parse::<u64>().ok());
        let found = self.left.iter().position(|(left, _)| Some(*left) == number);
        let is_old = number.is_some_and(|number| number <= self.last) && course.may_be_lost(self.emptied);
        match found {
            Some(at) => {
                self.left.remove(at);
            }
            None if is_old => course.note("elements that came back because the servers have lost a write"),
            None => return Err(format!("{} gave {text}, but may only have {:?}", self.key, self.left).into()),
        }
        self.emptied = Instant::now();
        Ok(())
    }

    /// A request on the list has failed.
    pub(crate) fn fail(&mut self, effect: Effect, course: &Course) {
        if effect == Effect::Doubtful {
            self.doubts.push(course.moment().epoch);
        }
    }

    /// Returns whether something may have taken out an element that was just put in.
    pub(crate) fn may_be_empty(&self, course: &Course) -> bool {
        !self.doubts.is_empty() || course.may_be_lost(self.put)
    }

    /// The list was deleted: elements of former epochs are gone.
    pub(crate) fn empty(&mut self, sent: Moment) {
        self.doubts.retain(|epoch| *epoch >= sent.epoch);
        self.left.retain(|(_, epoch)| *epoch >= sent.epoch);
        self.emptied = Instant::now();
    }
}
