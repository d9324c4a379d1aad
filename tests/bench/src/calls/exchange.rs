//! One exchange of a job and its result, in the commands of each server.

use crate::figure::Pair;
use crate::load::VALUE_BYTES;
use crate::program::{Dialect, Program};
use crate::wire::request;

/// The commands of an exchange.
#[derive(Clone, Copy)]
pub(crate) enum Exchange {
    /// `CALLJOB`, `GETJOB` and `REPLYJOB`.
    Jobs,
    /// `CALLJOB`, and `GETJOB` with `REPLY`.
    JobsInOne,
    /// A list of jobs and a list for the results of each caller.
    Lists,
    /// A subject with a queue group of workers, and a reply subject for each caller.
    Subjects,
}

impl Exchange {
    /// Returns all exchanges of both programs, in pairs.
    pub(crate) fn pairs(programs: &Pair<Program>) -> impl Iterator<Item = Pair<Exchange>> {
        let exchanges = programs.map(Exchange::of);
        let count = exchanges.baseline.len().max(exchanges.subject.len());
        (0..count).map(move |index| exchanges.map(|exchanges| exchanges[index.min(exchanges.len() - 1)]))
    }

    fn of(program: &Program) -> &'static [Exchange] {
        match program.dialect {
            Dialect::Giant => &[Exchange::Jobs, Exchange::JobsInOne],
            Dialect::Redis => &[Exchange::Lists],
            Dialect::Nats => &[Exchange::Subjects],
            // These have no calls.
            Dialect::Twemproxy | Dialect::Haproxy | Dialect::Bare | Dialect::Store => &[],
        }
    }

    /// Returns the commands, for the table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Exchange::Jobs => "CALLJOB, REPLYJOB and GETJOB",
            Exchange::JobsInOne => "CALLJOB and GETJOB REPLY",
            Exchange::Lists => "LPUSH and BRPOP",
            Exchange::Subjects => "PUB",
        }
    }

    /// Returns the first requests on a worker's connection.
    pub(crate) fn worker_setup(self) -> String {
        match self {
            Exchange::Jobs | Exchange::JobsInOne => request(&GET_JOB),
            Exchange::Lists => request(&POP),
            Exchange::Subjects => format!("{CONNECT}SUB q workers 1\r\nPING\r\n"),
        }
    }

    /// Returns the first requests on a caller's connection.
    pub(crate) fn caller_setup(self, caller: usize) -> String {
        match self {
            Exchange::Subjects => format!("{CONNECT}SUB inbox.{caller} 1\r\nPING\r\n"),
            _ => String::new(),
        }
    }

    /// Returns the end of the replies to the first requests.
    ///
    /// The driver waits for it, because NATS drops a message without a subscriber.
    pub(crate) fn setup_reply(self) -> &'static [u8] {
        match self {
            Exchange::Subjects => b"PONG\r\n",
            _ => b"",
        }
    }

    /// Returns the request of a call.
    pub(crate) fn call(self, caller: usize) -> String {
        let body = "x".repeat(VALUE_BYTES as usize);
        match self {
            Exchange::Jobs | Exchange::JobsInOne => request(&["CALLJOB", "q", &body, "60000"]),
            Exchange::Lists => {
                // The job contains the caller's number, so that the worker knows the result list.
                let (job, results) = (format!("{caller:03}{}", &body[3..]), format!("r{caller:03}"));
                request(&["LPUSH", "q", &job]) + &request(&["BRPOP", &results, "0"])
            }
            Exchange::Subjects => format!("PUB q inbox.{caller} {VALUE_BYTES}\r\n{body}\r\n"),
        }
    }

    /// Appends the worker's requests after a message. Appends nothing if the message is not a job.
    pub(crate) fn answer(self, message: &[u8], out: &mut String) {
        let message = String::from_utf8_lossy(message);
        let lines: Vec<&str> = message.split("\r\n").collect();
        let line = |index: usize| lines.get(index).copied().unwrap_or_default();
        let result = "y".repeat(VALUE_BYTES as usize);
        match self {
            Exchange::Jobs if message.starts_with('*') => {
                out.push_str(&request(&["REPLYJOB", line(5), &result]));
                out.push_str(&request(&GET_JOB));
            }
            Exchange::JobsInOne if message.starts_with('*') => {
                out.push_str(&request(&["GETJOB", "REPLY", line(5), &result, "FROM", "q"]));
            }
            Exchange::Lists if message.starts_with('*') => {
                let results = format!("r{}", &line(4)[..3]);
                out.push_str(&request(&["LPUSH", &results, &result]));
                out.push_str(&request(&POP));
            }
            Exchange::Subjects if message.starts_with("MSG") => {
                let inbox = line(0).split(' ').nth(3).unwrap_or_default();
                out.push_str(&format!("PUB {inbox} {VALUE_BYTES}\r\n{result}\r\n"));
            }
            _ => {}
        }
    }

    /// Returns whether a message to a caller is the result of its call.
    pub(crate) fn is_result(self, message: &[u8]) -> bool {
        message.starts_with(match self {
            Exchange::Jobs | Exchange::JobsInOne => b"$64",
            Exchange::Lists => b"*2",
            Exchange::Subjects => b"MSG",
        })
    }

    /// Returns the length of the first message, if it is complete.
    pub(crate) fn message_len(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Exchange::Subjects => nats_message(bytes),
            _ => resp_message(bytes),
        }
    }
}

/// The request of a worker for a job.
const GET_JOB: [&str; 3] = ["GETJOB", "FROM", "q"];
const POP: [&str; 3] = ["BRPOP", "q", "0"];

const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";

fn resp_message(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut missing) = (0, 1);
    while missing > 0 {
        let line = line(bytes.get(at..)?)?;
        let number = || std::str::from_utf8(&line[1..]).ok()?.parse::<usize>().ok();
        let kind = *line.first()?;
        at += line.len() + 2;
        missing -= 1;
        match kind {
            b'*' => missing += number().unwrap_or(0),
            b'$' => at += number().map_or(0, |len| len + 2),
            _ => {}
        }
    }
    (at <= bytes.len()).then_some(at)
}

fn nats_message(bytes: &[u8]) -> Option<usize> {
    let line = line(bytes)?;
    let body = line.starts_with(b"MSG").then(|| line.rsplit(|byte| *byte == b' ').next());
    let len = body.flatten().and_then(|len| std::str::from_utf8(len).ok()?.parse::<usize>().ok());
    let end = line.len() + 2 + len.map_or(0, |len| len + 2);
    (end <= bytes.len()).then_some(end)
}

/// Returns the first line without its end.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some(&bytes[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_a_message() {
        let list = b"*2\r\n$1\r\nq\r\n$3\r\nabc\r\n";
        assert_eq!(resp_message(&[&list[..], b":1\r\n"].concat()), Some(list.len()));
        assert!((0..list.len()).all(|end| resp_message(&list[..end]).is_none()));
        assert_eq!(resp_message(b"$-1\r\n"), Some(5));
        let message = b"MSG q 1 inbox.1 3\r\nabc\r\n";
        assert_eq!(nats_message(message), Some(message.len()));
        assert!((0..message.len()).all(|end| nats_message(&message[..end]).is_none()));
        assert_eq!(nats_message(b"PING\r\n"), Some(6));
    }
}
