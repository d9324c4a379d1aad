//! The heartbeat of an instance: an entry of the store that it changes again and again.

use std::{fmt, str::FromStr, time::Duration};

/// The value of the key `instances/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heartbeat {
    /// The address for clients.
    pub(super) address: String,
    /// How long the others wait for the next heartbeat.
    pub(super) lease: Duration,
    /// The incarnation of the member.
    ///
    /// It distinguishes a process from an earlier one with the same name, and from itself before it was evicted.
    pub(super) incarnation: String,
    /// The number of the attempt to renew the lease.
    pub(super) sequence: u64,
}

const PREFIX: &str = "instances/";

/// Returns the key of the heartbeat of an instance.
pub(super) fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// Returns the instance whose heartbeat has this key.
pub(super) fn name_of(key: &str) -> Option<&str> {
    key.strip_prefix(PREFIX)
}

impl fmt::Display for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Heartbeat { address, lease, incarnation, sequence } = self;
        let lease = lease.as_millis();
        write!(f, "address {address}\nlease {lease} ms\nincarnation {incarnation}\nsequence {sequence}\n")
    }
}

impl FromStr for Heartbeat {
    type Err = String;

    /// Lines of a later version of this crate are ignored.
    fn from_str(text: &str) -> Result<Self, String> {
        let field = |name: &str| {
            let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            values.next().ok_or_else(|| format!("it has no line {name:?}"))
        };
        let millis = field("lease")?.strip_suffix(" ms").and_then(|millis| millis.parse().ok());
        let sequence = field("sequence")?.parse();
        Ok(Heartbeat {
            address: field("address")?.to_owned(),
            lease: Duration::from_millis(millis.ok_or("its lease is not \"N ms\"")?),
            incarnation: field("incarnation")?.to_owned(),
            sequence: sequence.map_err(|_| "its sequence is no number")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_was_written() {
        let text = "address h:1\nlease 5000 ms\nincarnation 1f\nsequence 17\n";
        let heartbeat: Heartbeat = text.parse().expect("it is valid");
        assert_eq!(heartbeat.to_string(), text);
        assert_eq!((heartbeat.lease, heartbeat.sequence), (Duration::from_secs(5), 17));
        assert_eq!(format!("{text}later 1\n").parse(), Ok(heartbeat));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, mistake) in [
            ("", "it has no line \"lease\""),
            ("lease 5", "it has no line \"sequence\""),
            ("lease 5\nsequence 1\naddress h:1", "its lease is not \"N ms\""),
            ("lease 5 ms\nsequence x\naddress h:1\nincarnation 1", "its sequence is no number"),
        ] {
            assert_eq!(text.parse::<Heartbeat>(), Err(mistake.to_owned()), "{text}");
        }
    }
}
