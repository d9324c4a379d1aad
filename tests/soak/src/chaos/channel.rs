//! A client that publishes messages, and subscribes to them on another connection.

use std::{
    collections::HashSet,
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use thegiant_resp::{Incoming, Value};

use super::{
    course::{Course, Effect, Moment},
    link::Link,
    replies::{explained, integer, show},
};
use crate::{Result, batch::request};

/// The time after which a message is lost.
const PATIENCE: Duration = Duration::from_secs(3);

const RETRY_DELAY: Duration = Duration::from_millis(50);

const MAX_PAUSE: Duration = Duration::from_millis(400);

pub(crate) fn run(course: &Course, client: usize, mut rng: Rng) -> Result<()> {
    let channel = format!("channel:{client}");
    let mut publisher = Link::open(&course.address)?;
    let mut subscriber = None;
    let mut last_sent = 0;
    let mut seen = Seen::default();
    while !course.is_over() {
        let (begun, sent) = (Instant::now(), course.moment());
        if subscriber.is_none() {
            subscriber = subscribe(course, &channel, sent)?;
        }
        last_sent += 1;
        let reply = publisher.call(&format!("PUBLISH {channel} {channel}#{last_sent}"))?;
        course.commands.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Value::Error(error) = &reply {
            // The message may arrive late, or not at all.
            if explained(course, error, sent)? == Effect::Doubtful {
                seen.late.insert(last_sent);
            }
            thread::sleep(RETRY_DELAY);
            continue;
        }
        integer(&reply)?;
        if let Some(link) = &mut subscriber {
            match message(link, &channel, last_sent, &mut seen) {
                Ok(true) => course.served(client, begun),
                Ok(false) if course.is_quiet_since(sent) => {
                    return Err(format!("message {last_sent} on {channel} did not arrive").into());
                }
                Ok(false) => {
                    course.note("messages on channels that were late or lost during a fault");
                    // The next message may go through another node, and overtake it.
                    seen.late.insert(last_sent);
                }
                Err(Received::Wrong(error)) => return Err(error.into()),
                Err(Received::Lost(error)) if course.is_quiet_since(sent) => {
                    return Err(format!(
                        "without a fault, the subscriber of {channel} lost its connection: {error}"
                    )
                    .into());
                }
                Err(Received::Lost(_)) => {
                    course.note("subscribers that were disconnected during a fault");
                    subscriber = None;
                }
            }
        } else {
            thread::sleep(RETRY_DELAY);
        }
        thread::sleep(MAX_PAUSE.mul_f64(rng.f64()));
    }
    Ok(())
}

/// Returns `None` if a fault prevents it.
fn subscribe(course: &Course, channel: &str, sent: Moment) -> Result<Option<Link>> {
    let mut link = Link::open(&course.address)?;
    link.set_patience(PATIENCE)?;
    link.send(&request(&[b"SUBSCRIBE", channel.as_bytes()]))?;
    match link.incoming() {
        Ok(Some(Incoming::Reply(Value::Error(error)))) => {
            explained(course, &error, sent)?;
            Ok(None)
        }
        Ok(Some(Incoming::Reply(Value::Array(words)))) if words[0].as_str() == Some("subscribe") => {
            Ok(Some(link))
        }
        Ok(None) | Err(_) if !course.is_quiet_since(sent) => Ok(None),
        other => Err(format!("SUBSCRIBE replied {other:?}").into()),
    }
}

/// The messages so far.
#[derive(Default)]
struct Seen {
    last: u64,
    /// Numbers of messages that may arrive after later ones: those with an error, and those that did not arrive in time.
    late: HashSet<u64>,
}

enum Received {
    Wrong(String),
    Lost(String),
}

/// Waits for a message. Returns false if it does not arrive.
fn message(link: &mut Link, channel: &str, sent: u64, seen: &mut Seen) -> Result<bool, Received> {
    loop {
        let message = match link.incoming().map_err(|error| Received::Lost(error.to_string()))? {
            None => return Ok(false),
            Some(Incoming::Reply(message)) => message,
            Some(Incoming::Push(push)) => return Err(Received::Wrong(format!("push {push:?}"))),
        };
        let words = message.as_array().unwrap_or_default();
        let texts: Vec<_> = words.iter().map(|word| word.as_str().unwrap_or_default()).collect();
        let number = match texts[..] {
            ["message", of, text] if of == channel => {
                text.strip_prefix(channel).and_then(|text| text.strip_prefix('#')?.parse::<u64>().ok())
            }
            _ => None,
        };
        match number {
            Some(number) if seen.late.remove(&number) => {}
            Some(number) if number > seen.last && number <= sent => seen.last = number,
            _ => return Err(Received::Wrong(format!("{channel}, after {}: {}", seen.last, show(&message)))),
        }
        if seen.last == sent {
            return Ok(true);
        }
    }
}
