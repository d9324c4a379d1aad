//! A job and its id.

use std::time::{Duration, Instant};

use bytes::Bytes;
use thegiant::{Error, FromArg, Push, PushId, Reply, Responder, command::ReplySpec, resp::Encoder};

/// Length of a formatted id, in bytes.
const ID_LEN: usize = 25;

/// Length of the run number in a formatted id, in bytes.
const RUN_LEN: usize = 8;

/// Identifies a job by a run number and a job number.
///
/// Each start of the server draws a random run number, so that an id from before a restart names no job of
/// this run. A formatted id looks like `5d1f0c2a-0000000000000001`.
#[derive(Clone, Copy, Debug, FromArg, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[arg(try_from = "&[u8]")]
pub(crate) struct Id {
    pub(crate) run: u32,
    pub(crate) number: u64,
}

impl Id {
    /// Parses an id. Returns `None` if the text is not an id.
    fn parse(text: &[u8]) -> Option<Self> {
        let [run @ .., b'-'] = text.get(..=RUN_LEN)? else { return None };
        let number = text.get(RUN_LEN + 1..ID_LEN).filter(|_| text.len() == ID_LEN)?;
        Some(Id { run: u32::try_from(from_hex(run)?).ok()?, number: from_hex(number)? })
    }

    pub(crate) fn format(self) -> [u8; ID_LEN] {
        let mut text = [b'-'; ID_LEN];
        to_hex(self.run.into(), &mut text[..RUN_LEN]);
        to_hex(self.number, &mut text[RUN_LEN + 1..]);
        text
    }
}

fn from_hex(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| Some(number << 4 | u64::from(char::from(*digit).to_digit(16)?));
    digits.iter().try_fold(0, add)
}

fn to_hex(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 0xf) as usize];
        number >>= 4;
    }
}

/// Reads text that is not an id as an id of run 0, which names no job.
///
/// An unknown id is not an error either.
impl TryFrom<&[u8]> for Id {
    type Error = Error;

    fn try_from(text: &[u8]) -> Result<Self, Error> {
        if text.eq_ignore_ascii_case(b"DELAY") {
            return Err(LATE_DELAY);
        }
        Ok(Id::parse(text).unwrap_or(Id { run: 0, number: 0 }))
    }
}

const LATE_DELAY: Error = Error::from_static("ERR DELAY and its time belong before the ids");

impl Reply for Id {
    const REPLY: ReplySpec = ReplySpec::String;

    fn write_to(self, out: &mut Encoder) {
        self.format()[..].write_to(out);
    }
}

/// A job in a queue.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: Id,
    pub(crate) queue: Bytes,
    pub(crate) body: Bytes,
    pub(crate) priority: u8,
    /// Number of deliveries to a worker that did not finish the job.
    pub(crate) tries: u32,
    /// Number of tries after which the job moves to the queue for dead jobs.
    pub(crate) max_tries: Option<u32>,
    /// Time within which a worker must finish the job, or another worker gets it.
    pub(crate) retry: Option<Duration>,
    pub(crate) added: Instant,
    pub(crate) state: JobState,
    /// End of the delay, or end of the worker's `retry` time.
    ///
    /// A ready job keeps the time at which it came to the end of its queue, if it did not when it was added.
    pub(crate) due: Option<Instant>,
    /// Time after which the job expires, unless a worker has it.
    pub(crate) expires: Option<Instant>,
    /// Time at which the timer handles the job: the earlier of `due` and `expires`.
    ///
    /// `expires` does not count while a worker has the job.
    pub(crate) deadline: Option<Instant>,
    pub(crate) caller: Option<Caller>,
    /// The parts that few jobs have.
    pub(crate) rare: Option<Box<Rare>>,
}

/// The parts of a job that few jobs have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// The name that the producer has given it.
    pub(crate) name: Option<Bytes>,
    /// The time for which the result is kept.
    pub(crate) keep: Option<Duration>,
    /// The queue that a dead job belongs to.
    pub(crate) origin: Option<Bytes>,
    /// Number of tries before the job was taken from the dead jobs.
    pub(crate) earlier_tries: u32,
    /// Further callers that wait for the result.
    pub(crate) joined: Vec<Caller>,
}

impl Rare {
    pub(crate) fn is_empty(&self) -> bool {
        let Rare { name, keep, origin, earlier_tries, joined } = self;
        name.is_none() && keep.is_none() && origin.is_none() && *earlier_tries == 0 && joined.is_empty()
    }
}

/// The responder of a `CALLJOB` that waits for the result.
pub(crate) type Caller = Responder<JobResult>;

/// The result of a job. It is `None` if the job has expired.
pub(crate) type JobResult = Result<Option<Bytes>, Error>;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobState {
    /// The job waits in its queue for a worker.
    Ready,
    /// The job waits for the end of its delay.
    Delayed,
    /// A worker has the job. `client` is the client id of the worker. `push` is the push that delivers the job, or
    /// `None` after `GETJOB`.
    Out { client: u64, push: Option<JobPush> },
}

/// The push that delivers a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobPush {
    /// Is sent when the database has the job.
    Held,
    Sent(PushId),
}

impl JobState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            JobState::Ready => "ready",
            JobState::Delayed => "delayed",
            JobState::Out { .. } => "out",
        }
    }
}

impl Job {
    /// Returns whether all callers of this job have stopped waiting.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.caller.as_ref().is_some_and(Caller::is_closed) && self.joined().iter().all(Caller::is_closed)
    }

    /// Returns the queue that this job belongs to, if it is dead.
    pub(crate) fn origin(&self) -> Option<&Bytes> {
        self.rare.as_ref()?.origin.as_ref()
    }

    /// Returns whether this job had too many tries.
    pub(crate) fn is_dead(&self) -> bool {
        self.origin().is_some()
    }

    /// Returns the number of tries since the job was added or taken from the dead jobs.
    pub(crate) fn recent_tries(&self) -> u32 {
        self.tries - self.rare.as_ref().map_or(0, |rare| rare.earlier_tries)
    }

    /// Returns whether this job was called.
    pub(crate) fn is_called(&self) -> bool {
        self.caller.is_some() || !self.joined().is_empty()
    }

    /// Returns whether a database has this job. One that only callers wait for ends with their connections.
    pub(crate) fn is_stored(&self) -> bool {
        self.caller.is_none()
    }

    pub(crate) fn name(&self) -> Option<&Bytes> {
        self.rare.as_ref()?.name.as_ref()
    }

    fn joined(&self) -> &[Caller] {
        self.rare.as_ref().map_or(&[], |rare| &rare.joined)
    }

    /// Adds a caller. Without one, the job stays although no caller waits.
    pub(crate) fn join(&mut self, caller: Option<Caller>) {
        let caller = caller.or_else(|| self.caller.take());
        let joined = &mut self.rare.get_or_insert_default().joined;
        if joined.len() == joined.capacity() {
            joined.retain(|caller| !caller.is_closed());
        }
        joined.extend(caller);
    }

    /// Sends the result to all callers. Returns whether any still waited for it.
    pub(crate) fn answer(self, result: JobResult) -> bool {
        let joined = self.rare.map(|rare| rare.joined).unwrap_or_default();
        let to_joined = joined.into_iter().filter_map(|caller| caller.send(result.clone()).ok()).count();
        let to_caller = self.caller.is_some_and(|caller| caller.send(result).is_ok());
        to_caller || to_joined > 0
    }

    /// Returns the parts of the job that a worker receives.
    pub(crate) fn delivery(&self) -> Delivery {
        Delivery { queue: self.queue.clone(), id: self.id, body: self.body.clone(), tries: self.tries }
    }
}

/// A job as a worker receives it: queue, id, body and number of earlier tries.
#[derive(Clone, Debug, PartialEq, Eq, Reply)]
#[reply(array)]
pub(crate) struct Delivery {
    pub(crate) queue: Bytes,
    pub(crate) id: Id,
    pub(crate) body: Bytes,
    pub(crate) tries: u32,
}

/// A delivery that the server sends as a push.
pub(crate) struct Pushed(pub(crate) Delivery);

impl Reply for Pushed {
    fn write_to(self, out: &mut Encoder) {
        let Delivery { queue, id, body, tries } = self.0;
        ("job", queue, id, body, tries).write_to(out);
    }
}

impl Push for Pushed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formatted_id_is_parsed() {
        let id = Id { run: 0x5d1f_0c2a, number: 1 };
        let mut out = Encoder::default();
        id.write_to(&mut out);
        assert_eq!(out.to_vec(), b"$25\r\n5d1f0c2a-0000000000000001\r\n");
        assert_eq!(Id::parse(b"5d1f0c2a-0000000000000001"), Some(id));
        for wrong in
            ["", "1", "5d1f0c2a-000000000000000", "5d1f0c2a+0000000000000001", "5d1f0c2ag000000000000001-"]
        {
            assert_eq!(Id::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
