//! `notify-keyspace-events`: publishes changes of keys on channels.

use crate::{EventClass, PubSub, batch::EventClasses, command::Spec};

/// The value of `notify-keyspace-events`: which event classes are published, on which channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events(u32);

/// The letters of the classes, in the order in which Redis writes them.
const LETTERS: [(char, EventClass); 12] = [
    ('g', EventClass::Generic),
    ('$', EventClass::String),
    ('l', EventClass::List),
    ('s', EventClass::Set),
    ('h', EventClass::Hash),
    ('z', EventClass::SortedSet),
    ('x', EventClass::Expired),
    ('e', EventClass::Evicted),
    ('t', EventClass::Stream),
    ('d', EventClass::Module),
    ('n', EventClass::New),
    ('m', EventClass::KeyMiss),
];

/// `A`: the first ten classes.
const ALL: u32 = (1 << 10) - 1;

/// `K`: publishes on a channel per key.
const BY_KEY: u32 = 1 << 12;
/// `E`: publishes on a channel per event.
const BY_EVENT: u32 = 1 << 13;

/// Returns the class of the events of a command, from its group.
pub(super) fn class_of(command: &Spec) -> EventClass {
    match command.group {
        "generic" => EventClass::Generic,
        "string" => EventClass::String,
        "list" => EventClass::List,
        "set" => EventClass::Set,
        "hash" => EventClass::Hash,
        "sorted-set" => EventClass::SortedSet,
        "stream" => EventClass::Stream,
        _ => EventClass::Module,
    }
}

impl Events {
    /// Parses letters such as `KEA`. Returns `None` if a letter is unknown.
    pub(crate) fn parse(letters: &str) -> Option<Events> {
        let bits = letters.chars().map(|letter| match letter {
            'A' => Some(ALL),
            'K' => Some(BY_KEY),
            'E' => Some(BY_EVENT),
            _ => LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, class)| 1 << *class as u32),
        });
        bits.into_iter().try_fold(0, |all, bits| Some(all | bits?)).map(Events)
    }

    pub(crate) fn from_bits(bits: u64) -> Events {
        Events(u32::try_from(bits).unwrap_or_default())
    }

    pub(crate) fn bits(self) -> u64 {
        self.0.into()
    }

    /// Returns the letters in the form of Redis, which omits `n` after `A`.
    pub(crate) fn letters(self) -> String {
        let is_all = self.0 & ALL == ALL;
        let is_shown = |class: EventClass| match class {
            EventClass::KeyMiss => false,
            class => !is_all && self.0 & (1 << class as u32) != 0,
        };
        let classes = LETTERS.iter().filter(|(_, class)| is_shown(*class)).map(|(letter, _)| *letter);
        let all = is_all.then_some('A').into_iter().chain(classes);
        let rest = [('K', BY_KEY), ('E', BY_EVENT), ('m', 1 << EventClass::KeyMiss as u32)];
        all.chain(rest.into_iter().filter(|(_, bit)| self.0 & bit != 0).map(|(letter, _)| letter)).collect()
    }

    /// Returns whether at least one class is published on at least one kind of channel.
    pub(super) fn is_enabled(self) -> bool {
        self.0 & (BY_KEY | BY_EVENT) != 0 && self.0 & !(BY_KEY | BY_EVENT) != 0
    }

    /// Returns the classes that are published.
    pub(super) fn classes(self) -> EventClasses {
        let classes = if self.is_enabled() { self.0 & (BY_KEY - 1) } else { 0 };
        EventClasses::from_bits(classes as u16)
    }

    /// Publishes an event, if its class is among the letters.
    #[inline]
    pub(super) fn publish(self, pubsub: &PubSub, class: EventClass, event: &str, db: u16, key: &[u8]) {
        if self.0 & (1 << class as u32) != 0 {
            self.publish_on_channels(pubsub, event, db, key);
        }
    }

    fn publish_on_channels(self, pubsub: &PubSub, event: &str, db: u16, key: &[u8]) {
        if self.0 & BY_KEY != 0 {
            pubsub.publish_about(key, |key| {
                ([format!("__keyspace@{db}__:").as_bytes(), key].concat(), event.into())
            });
        }
        if self.0 & BY_EVENT != 0 {
            pubsub.publish_about(key, |key| (format!("__keyevent@{db}__:{event}").into(), key.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_match_redis() {
        for (given, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("KEAmn", "AKEm"),
            ("g$lshzxetdKE", "AKE"),
            ("nmKl", "lnKm"),
            ("xE", "xE"),
            ("ExexE", "xeE"),
        ] {
            assert_eq!(Events::parse(given).map(Events::letters).as_deref(), Some(shown), "{given}");
        }
        assert_eq!(Events::parse("KEAq"), None);
    }

    #[test]
    fn events_need_a_class_and_a_channel() {
        let is_enabled = |letters| Events::parse(letters).is_some_and(Events::is_enabled);
        assert_eq!(
            ["", "K", "A", "gx", "Kg", "Em"].map(is_enabled),
            [false, false, false, false, true, true]
        );
    }
}
