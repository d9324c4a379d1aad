//! Transactions of a client, with and without a watched key.

use std::{thread, time::Duration};

use thegiant_resp::Value;

use super::{
    client::{Client, TAGGED},
    course::Moment,
    replies::{integer, is_ok, show, show_all, value_of},
};
use crate::{Result, batch::request};

impl Client<'_> {
    /// Checks the replies to `MULTI`, `SET`, `INCR`, `GET` and `EXEC`.
    pub(super) fn check_transaction(&mut self, register: usize, number: u64, sent: Moment) -> Result<()> {
        let queued = [self.reply()?, self.reply()?, self.reply()?, self.reply()?];
        let exec = self.reply()?;
        for (index, reply) in queued.iter().enumerate() {
            match (index, reply) {
                (_, Value::Error(error)) => drop(self.error(error, sent)?),
                (0, Value::Simple(text)) if text == "OK" => {}
                (1.., Value::Simple(text)) if text == "QUEUED" => {}
                _ => return Err(format!("in a transaction: {}, {}", show_all(&queued), show(&exec)).into()),
            }
        }
        self.check_exec(exec, register, number, sent, &queued)
    }

    fn check_exec(
        &mut self,
        exec: Value,
        register: usize,
        number: u64,
        sent: Moment,
        queued: &[Value],
    ) -> Result<()> {
        let course = self.course;
        let has_error = queued.iter().any(|reply| matches!(reply, Value::Error(_)));
        match exec {
            Value::Error(error) => {
                let effect = self.error(&error, sent)?;
                self.registers[register].fail(number, effect, course);
                self.counter.fail(effect, course);
            }
            Value::Array(replies) if replies.len() == 3 && !has_error => {
                is_ok(&replies[0])?;
                self.registers[register].confirm(number, sent);
                self.counter.incremented(integer(&replies[1])?, sent, course)?;
                let value = value_of(&replies[2])?;
                let expected = format!("{}#{number}#", self.registers[register].key);
                if !value.is_some_and(|value| value.starts_with(expected.as_bytes())) {
                    return Err(
                        format!("GET after SET in a transaction: {value:?}, expected {expected}").into()
                    );
                }
            }
            other => return Err(format!("EXEC replied {} after {}", show(&other), show_all(queued)).into()),
        }
        Ok(())
    }

    /// Runs a transaction on a watched key, which changes or does not change before.
    pub(super) fn watch(&mut self) -> Result<()> {
        let register = self.rng.usize(..TAGGED);
        let sent = self.course.moment();
        let key = self.registers[register].key.clone();
        let watch = self.link.ask(&["WATCH", &key])?;
        let is_watched = match &watch {
            Value::Error(error) => {
                self.error(error, sent)?;
                false
            }
            reply => is_ok(reply).map(|()| true)?,
        };
        let is_changed = self.rng.bool() && {
            let (key, number, value) = self.write(register);
            match self.link.ask(&["SET", &key, &value])? {
                Value::Error(error) => {
                    let effect = self.error(&error, sent)?;
                    self.registers[register].fail(number, effect, self.course);
                    false
                }
                reply => {
                    is_ok(&reply)?;
                    self.registers[register].confirm(number, sent);
                    true
                }
            }
        };
        if self.rng.bool() {
            // The connection with the watched key may be lost meanwhile.
            thread::sleep(Duration::from_millis(self.rng.u64(..300)));
        }
        let (key, number, value) = self.write(register);
        let words: [&[&str]; 5] =
            [&["MULTI"], &["SET", &key, &value], &["INCR", self.counter.next()], &["GET", &key], &["EXEC"]];
        let requests: Vec<_> = words
            .iter()
            .map(|words| request(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>()))
            .collect();
        let mut replies = Vec::new();
        if self.rng.bool() {
            self.link.send(&requests.concat())?;
            for _ in &requests {
                replies.push(self.reply()?);
            }
        } else {
            for request in &requests {
                self.link.send(request)?;
                replies.push(self.reply()?);
            }
        }
        let exec = replies.pop().ok_or("five replies")?;
        for reply in &replies {
            match reply {
                Value::Error(error) => drop(self.error(error, sent)?),
                reply if matches!(reply.as_str(), Some("OK" | "QUEUED")) => {}
                _ => {
                    return Err(format!(
                        "in a transaction on a watched key: {}, {}",
                        show_all(&replies),
                        show(&exec)
                    )
                    .into());
                }
            }
        }
        match exec {
            Value::Null if is_changed || !self.course.is_quiet_since(sent) => Ok(()),
            // The failed SET may have changed the key.
            Value::Null if is_watched && self.has_failed => Ok(()),
            Value::Array(replies) if is_watched && is_changed => Err(format!(
                "EXEC replied {}, although the watched key {key} has changed",
                show_all(&replies)
            )
            .into()),
            exec => self.check_exec(exec, register, number, sent, &replies),
        }
    }
}
