//! A client that pushes elements, and a client that pops them with `BLPOP`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use thegiant_resp::Value;

use super::{
    course::{Course, Effect, Loss},
    link::Link,
    replies::{explained, integer, value_of},
};
use crate::Result;

const MAX_PAUSE: Duration = Duration::from_millis(300);

/// The state of a queue, as its two clients know it.
#[derive(Default)]
pub(crate) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    elements: BTreeMap<u64, Element>,
    /// Number of `BLPOP` that may have taken an element with them.
    doubtful_pops: usize,
    last_popped: u64,
    has_ended: bool,
}

#[derive(Default)]
struct Element {
    /// When the server has acknowledged it.
    acknowledged: Option<Instant>,
    is_doubtful: bool,
    popped: Option<Instant>,
}

/// Pushes until the end.
pub(crate) fn push(course: &Course, client: usize, queue: &Queue, key: &str, mut rng: Rng) -> Result<()> {
    let mut link = Link::open(&course.address)?;
    let mut last = 0;
    while !course.is_over() {
        let (begun, sent) = (Instant::now(), course.moment());
        let numbers: Vec<u64> = (last + 1..=last + rng.u64(1..4)).collect();
        last += numbers.len() as u64;
        queue.with(|state| state.elements.extend(numbers.iter().map(|number| (*number, Element::default()))));
        let words = ["RPUSH", key].map(str::to_owned).into_iter();
        let words: Vec<_> = words.chain(numbers.iter().map(|number| format!("{key}#{number}"))).collect();
        let reply = link.ask(&words)?;
        course.commands.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match &reply {
            Value::Error(error) => {
                let is_doubtful = explained(course, error, sent)? == Effect::Doubtful;
                queue.with(|state| state.pushed(&numbers, |element| element.is_doubtful = is_doubtful));
            }
            reply => {
                integer(reply)?;
                let now = Instant::now();
                queue.with(|state| state.pushed(&numbers, |element| element.acknowledged = Some(now)));
                course.served(client, begun);
            }
        }
        thread::sleep(MAX_PAUSE.mul_f64(rng.f64()));
    }
    queue.with(|state| state.has_ended = true);
    Ok(())
}

/// Pops until the end, and until the queue is empty.
pub(crate) fn pop(course: &Course, client: usize, queue: &Queue, key: &str) -> Result<()> {
    let mut link = Link::open(&course.address)?;
    loop {
        let is_last = queue.with(|state| state.has_ended) || !course.failures().is_empty();
        let (begun, sent) = (Instant::now(), course.moment());
        let reply = link.call(&format!("BLPOP {key} 1"))?;
        course.commands.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match reply {
            Value::Error(error) => {
                if explained(course, &error, sent)? == Effect::Doubtful {
                    queue.with(|state| state.doubtful_pops += 1);
                }
                // A server that is down refuses at once.
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            Value::Null if is_last => break,
            Value::Null => {}
            Value::Array(pair) if pair.len() == 2 && pair[0].as_str() == Some(key) => {
                let element = String::from_utf8_lossy(value_of(&pair[1])?.unwrap_or_default()).into_owned();
                let number = element.strip_prefix(key).and_then(|rest| rest.strip_prefix('#')?.parse().ok());
                let number = number.ok_or_else(|| format!("{key} gave {element}"))?;
                queue
                    .with(|state| state.popped(number, course))
                    .map_err(|error| format!("{key}: {error}"))?;
            }
            other => return Err(format!("BLPOP {key} replied {other:?}").into()),
        }
        course.served(client, begun);
    }
    queue.with(|state| state.check_losses(course)).map_err(|error| format!("{key}: {error}").into())
}

impl Queue {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn pushed(&mut self, numbers: &[u64], set: impl Fn(&mut Element)) {
        for number in numbers {
            self.elements.entry(*number).and_modify(&set);
        }
    }

    fn popped(&mut self, number: u64, course: &Course) -> Result<()> {
        let last = self.last_popped;
        let element = self.elements.get_mut(&number).ok_or_else(|| format!("{number} was never pushed"))?;
        if let Some(before) = element.popped.replace(Instant::now())
            && !course.may_be_lost(before)
        {
            return Err(format!("{number} was popped twice").into());
        }
        // Only an element whose push is doubtful can be late.
        let may_be_late = element.is_doubtful || course.loss != Loss::Never;
        if number < last && !may_be_late {
            return Err(format!("{number} was popped after {last}").into());
        }
        self.last_popped = last.max(number);
        Ok(())
    }

    /// Checks at the end that no acknowledged element is missing.
    fn check_losses(&mut self, course: &Course) -> Result<()> {
        let mut missing = Vec::new();
        for (number, element) in &self.elements {
            match element.acknowledged {
                Some(acknowledged) if element.popped.is_none() => {
                    if course.may_be_lost(acknowledged) {
                        course.note("elements of queues that the servers have lost");
                    } else {
                        missing.push(*number);
                    }
                }
                _ => {}
            }
        }
        if missing.len() > self.doubtful_pops {
            let pops = self.doubtful_pops;
            return Err(format!("{missing:?} are lost, with {pops} doubtful pops").into());
        }
        Ok(())
    }
}
