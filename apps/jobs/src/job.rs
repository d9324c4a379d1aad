//! A job, and what it is called.

use std::time::{Duration, Instant};

use bytes::Bytes;
use thegiant::{
    Error, IntoPush, IntoReply, Responder,
    command::{ArgKind, ArgSpec, Arguments, FromArg},
    resp::Encoder,
};

/// Bytes of an id as it is written, and of its first part.
const ID_LEN: usize = 25;
const RUN_LEN: usize = 8;

/// What a job is called: the number of this run of the server and that of the job, so that an id of an earlier run
/// is not taken for another job. As it is written, `5d1f0c2a-0000000000000001`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) run: u32,
    pub(crate) number: u64,
}

impl Id {
    /// The id that is written so; `None` if none is.
    fn read(text: &[u8]) -> Option<Self> {
        let [run @ .., b'-'] = text.get(..=RUN_LEN)? else { return None };
        let number = text.get(RUN_LEN + 1..ID_LEN).filter(|_| text.len() == ID_LEN)?;
        Some(Id { run: u32::try_from(from_hex(run)?).ok()?, number: from_hex(number)? })
    }

    fn written(self) -> [u8; ID_LEN] {
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

/// An id that nobody has ever given out is no mistake of the one who sends it: there is no such job.
impl<'a> FromArg<'a> for Id {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::String);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        Ok(Id::read(args.take()?).unwrap_or(Id { run: 0, number: 0 }))
    }
}

impl IntoReply for Id {
    fn into_reply(self, out: &mut Encoder) {
        self.written()[..].into_reply(out);
    }
}

/// A job that is to be done.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: Id,
    pub(crate) queue: Bytes,
    pub(crate) body: Bytes,
    /// How often it was given to somebody who did not do it.
    pub(crate) tries: u32,
    /// After so many it is dead.
    pub(crate) max_tries: Option<u32>,
    /// How long whoever has it may take.
    pub(crate) retry: Option<Duration>,
    pub(crate) added: Instant,
    pub(crate) place: Place,
    /// When its delay is over, or the time of the one who has it.
    pub(crate) due: Option<Instant>,
    /// When it is of no use any more, unless somebody has it.
    pub(crate) expires: Option<Instant>,
    /// When it is looked at: the earlier of these.
    pub(crate) deadline: Option<Instant>,
    pub(crate) caller: Option<Caller>,
}

/// Who waits for the result.
pub(crate) type Caller = Responder<Result<Option<Bytes>, Error>>;

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In its queue.
    Ready,
    /// Not yet in its queue.
    Delayed,
    /// With the client of this number; pushed to it, and the how manieth push that was.
    Out { client: u64, push: Option<u64> },
}

impl Place {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Place::Ready => "ready",
            Place::Delayed => "delayed",
            Place::Out { .. } => "out",
        }
    }
}

impl Job {
    /// Nobody wants its result any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.caller.as_ref().is_some_and(Caller::is_closed)
    }

    /// Tells the one who waits for it, if somebody does.
    pub(crate) fn answer(self, result: Result<Option<Bytes>, Error>) -> bool {
        self.caller.is_some_and(|caller| caller.send(result).is_ok())
    }

    /// As a worker gets it.
    pub(crate) fn given(&self) -> Given {
        Given { queue: self.queue.clone(), id: self.id, body: self.body.clone(), tries: self.tries }
    }
}

/// What a worker is told of a job: its queue, its id, its body, and how often it was tried before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) queue: Bytes,
    pub(crate) id: Id,
    pub(crate) body: Bytes,
    pub(crate) tries: u32,
}

impl IntoReply for Given {
    fn into_reply(self, out: &mut Encoder) {
        (self.queue, self.id, self.body, self.tries).into_reply(out);
    }
}

/// The same, for somebody who has not asked for it at this moment.
pub(crate) struct Pushed(pub(crate) Given);

impl IntoReply for Pushed {
    fn into_reply(self, out: &mut Encoder) {
        let Given { queue, id, body, tries } = self.0;
        ("job", queue, id, body, tries).into_reply(out);
    }
}

impl IntoPush for Pushed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_it_is_written() {
        let id = Id { run: 0x5d1f_0c2a, number: 1 };
        let mut out = Encoder::default();
        id.into_reply(&mut out);
        assert_eq!(out.to_vec(), b"$25\r\n5d1f0c2a-0000000000000001\r\n");
        assert_eq!(Id::read(b"5d1f0c2a-0000000000000001"), Some(id));
        for wrong in
            ["", "1", "5d1f0c2a-000000000000000", "5d1f0c2a+0000000000000001", "5d1f0c2ag000000000000001-"]
        {
            assert_eq!(Id::read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
