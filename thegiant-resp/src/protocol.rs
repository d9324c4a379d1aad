//! The version of the protocol.

/// The version of the protocol that a connection uses.
///
/// It is exhaustive by design: code that handles both versions has to decide about a third one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// RESP2, which every connection uses until the client sends `HELLO 3`.
    #[default]
    Resp2,
    /// RESP3, which adds maps, sets, doubles, booleans, big numbers, verbatim strings and pushes.
    Resp3,
}

impl Protocol {
    /// Returns the version number that `HELLO` uses: 2 or 3.
    #[must_use]
    pub fn version(self) -> i64 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}
