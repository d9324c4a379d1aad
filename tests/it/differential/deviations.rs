//! The list of deviations, and the rules for those that occur in many conversations.

use thegiant::Bytes;

use super::script::{Conversation, conversations_of};
use crate::support::Reply;

/// All deviations of `kv` from redis-server 7.0.15.
const LIST: &str = include_str!("differences.txt");

/// All deviations of `collector` in the stream commands.
const LIST_OF_STREAMS: &str = include_str!("stream_differences.txt");

/// The possible origins of a deviation.
const ORIGINS: [&str; 3] = ["Redis 7.2", "Redis 7.4", "toolkit"];

/// A deviation, with conversations that show it.
#[derive(Debug)]
pub(super) struct Deviation<'s> {
    pub(super) rule: Option<Rule<'s>>,
    pub(super) conversations: Vec<Conversation<'s>>,
}

/// How a deviation changes the reply of redis-server, wherever it occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule<'s> {
    /// The servers report these versions.
    Version { kv: &'s str, redis: &'s str },
    /// A client's own messages follow the reply to its `PUBLISH`.
    OwnMessages,
    /// Redis lacks this field of `CLIENT LIST`.
    ClientField(&'s str),
    /// This field of `CLIENT LIST` has another value.
    ClientValue(&'s str),
    /// Redis lacks the fields of `INFO` with this prefix.
    InfoPrefix(&'s str),
    /// `MONITOR` shows another database for a command that changes it. `observed.rs` has the conversation.
    MonitorDatabase,
}

/// The rules that apply to a comparison.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules<'s>(Vec<Rule<'s>>);

impl Deviation<'static> {
    /// Returns the deviations of `kv`.
    pub(super) fn listed() -> Vec<Self> {
        Self::of(LIST)
    }

    /// Returns the deviations of `collector` in the stream commands.
    pub(super) fn of_streams() -> Vec<Self> {
        Self::of(LIST_OF_STREAMS)
    }

    /// Returns the deviations of a list.
    ///
    /// A deviation begins with a line such as `= toolkit: The reason.`, or with its rule: `= Redis 7.4 [version
    /// 7.4.0 7.0.15]: The reason.`
    fn of(list: &'static str) -> Vec<Self> {
        let lines: Vec<_> = list.lines().zip(1..).collect();
        let starts: Vec<_> = (0..lines.len()).filter(|index| lines[*index].0.starts_with('=')).collect();
        let ends = starts.iter().skip(1).copied().chain([lines.len()]);
        let before = &lines[..starts[0]];
        assert_eq!(conversations_of(before.iter().copied()).len(), 0, "a deviation needs an origin");
        let deviations = starts.iter().zip(ends).map(|(start, end)| {
            let (head, _) = lines[*start];
            let rule = rule_of(head);
            let conversations = conversations_of(lines[start + 1..end].iter().copied());
            let is_shown =
                |conversation: &Conversation<'_>| conversation.lines.iter().any(|line| line.must_differ);
            assert!(
                conversations.iter().all(is_shown)
                    && conversations.is_empty() == (rule == Some(Rule::MonitorDatabase)),
                "differences.txt: no request differs because of {head:?}"
            );
            Deviation { rule, conversations }
        });
        deviations.collect()
    }
}

/// Returns the rule in the first line of a deviation, and checks the line.
fn rule_of(head: &'static str) -> Option<Rule<'static>> {
    let (origin, reason) = head[1..].split_once(':').unwrap_or_default();
    assert!(!reason.trim().is_empty(), "differences.txt: {head:?} has no reason");
    let (origin, rule) = match origin.split_once('[') {
        Some((origin, rule)) => (origin, rule.strip_suffix(']')),
        None => (origin, None),
    };
    assert!(ORIGINS.contains(&origin.trim()), "differences.txt: {origin:?} is none of {ORIGINS:?}");
    rule.map(|rule| match rule.split(' ').collect::<Vec<_>>()[..] {
        ["version", kv, redis] => Rule::Version { kv, redis },
        ["own-messages"] => Rule::OwnMessages,
        ["client-field", name] => Rule::ClientField(name),
        ["client-value", name] => Rule::ClientValue(name),
        ["info-prefix", prefix] => Rule::InfoPrefix(prefix),
        ["monitor-database"] => Rule::MonitorDatabase,
        _ => panic!("differences.txt: {rule:?} is no rule"),
    })
}

impl<'s> Rules<'s> {
    pub(super) fn of(deviations: &[Deviation<'s>]) -> Self {
        Rules(deviations.iter().filter_map(|deviation| deviation.rule).collect())
    }

    pub(super) fn without(&self, rule: Rule<'_>) -> Self {
        Rules(self.0.iter().copied().filter(|other| *other != rule).collect())
    }

    /// Returns whether this field of `CLIENT LIST` is compared.
    pub(super) fn compares_client_field(&self, name: &str) -> bool {
        !self.0.contains(&Rule::ClientField(name))
    }

    /// Returns whether the value of this field of `CLIENT LIST` is compared.
    pub(super) fn compares_client_value(&self, name: &str) -> bool {
        !self.0.contains(&Rule::ClientValue(name))
    }

    /// Returns whether this field of `INFO` is compared.
    pub(super) fn compares_info_field(&self, name: &str) -> bool {
        !self.0.iter().any(|rule| matches!(rule, Rule::InfoPrefix(prefix) if name.starts_with(prefix)))
    }

    /// Returns a line of `MONITOR` without the database of a command that changes it.
    pub(super) fn monitor_line(&self, line: &str) -> String {
        let changes_database = line.ends_with("\"SELECT\" \"3\"\r\n") || line.ends_with("\"RESET\"\r\n");
        let is_ruled = self.0.contains(&Rule::MonitorDatabase) && changes_database;
        if is_ruled { line.replace("[3 ", "[0 ") } else { line.to_owned() }
    }

    /// Returns a line of `INFO` of redis-server as `kv` replies it.
    pub(super) fn info_line(&self, line: &str) -> String {
        self.0.iter().fold(line.to_owned(), |line, rule| match rule {
            Rule::Version { kv, redis } if line == format!("redis_version:{redis}") => {
                format!("redis_version:{kv}")
            }
            _ => line,
        })
    }

    /// Returns the replies of redis-server as `kv` replies to the same conversation.
    pub(super) fn apply(&self, answers: Vec<Bytes>, conversation: &Conversation<'_>) -> Vec<Bytes> {
        self.0.iter().fold(answers, |answers, rule| match rule {
            Rule::Version { kv, redis } => {
                let [kv, redis] = [kv, redis].map(|text| format!("version\r\n${}\r\n{text}\r\n", text.len()));
                answers.iter().map(|answer| replaced(answer, redis.as_bytes(), kv.as_bytes())).collect()
            }
            Rule::OwnMessages if !conversation.has_other() => own_messages_behind(answers),
            _ => answers,
        })
    }
}

fn replaced(answer: &Bytes, from: &[u8], to: &[u8]) -> Bytes {
    let Some(at) = answer.windows(from.len()).position(|part| part == from) else { return answer.clone() };
    let (before, rest) = answer.split_at(at);
    let behind = replaced(&answer.slice_ref(&rest[from.len()..]), from, to);
    [before, to, &behind].concat().into()
}

/// Moves the messages before each reply to `PUBLISH` behind it.
///
/// The reply is the number of messages. A message that becomes the first part of the next answer was sent before
/// the client asked for it.
fn own_messages_behind(answers: Vec<Bytes>) -> Vec<Bytes> {
    if !answers.iter().any(|answer| answer.windows(7).any(|part| part == b"message")) {
        return answers;
    }
    let last = answers.len() - 1;
    let mut ordered: Vec<Vec<Bytes>> = vec![Vec::new(); answers.len()];
    for (index, answer) in answers.iter().enumerate() {
        let mut rest = &answer[..];
        while let Some((reply, behind)) = Reply::parse(rest) {
            let own = match reply {
                Reply::Integer(received) => usize::try_from(received).unwrap_or_default(),
                _ => 0,
            };
            let part = answer.slice_ref(&rest[..rest.len() - behind.len()]);
            let so_far = &mut ordered[index];
            let is_message = |part: &&Bytes| is_message(part);
            let own = own.min(so_far.iter().rev().take_while(is_message).count());
            let messages = so_far.split_off(so_far.len() - own);
            so_far.push(part);
            let is_end = behind.is_empty() && index < last;
            ordered[if is_end { index + 1 } else { index }].extend(messages);
            rest = behind;
        }
        if !rest.is_empty() {
            ordered[index].push(answer.slice_ref(rest));
        }
    }
    ordered.into_iter().map(|parts| parts.concat().into()).collect()
}

/// Returns whether an encoded reply is the push of a message.
pub(super) fn is_message(reply: &[u8]) -> bool {
    let kinds: [&[u8]; 3] =
        [b">3\r\n$7\r\nmessage\r\n", b">4\r\n$8\r\npmessage\r\n", b">3\r\n$8\r\nsmessage\r\n"];
    kinds.iter().any(|kind| reply.starts_with(kind))
}
