//! The error of the reply parsers, and the rules that they share.

use std::fmt;

/// Bytes that are not a valid reply, with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidReply(pub(crate) &'static str);

impl fmt::Display for InvalidReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid reply: {}", self.0)
    }
}

impl std::error::Error for InvalidReply {}

pub(crate) const NO_CR_LF: &str = "a string does not end with CR LF";
/// A single CR or LF would end the line for some parsers and not for others, which could then take the rest for a reply.
pub(crate) const BROKEN_LINE: &str = "a line has a CR or an LF that does not end it";
pub(crate) const INVALID_LENGTH: &str = "invalid length";

/// Maximum length that a reply can declare. The sum of many such lengths fits into 64 bits.
pub(crate) const MAX_LEN: u64 = 1 << 40;
