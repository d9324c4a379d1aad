//! Errors of the decoder.

use std::fmt;

use super::Error;

/// An error in the input of a [`Decoder`](crate::Decoder), with the text that Redis uses.
///
/// The decoder cannot find the next request after such an error. Send the [reply](Self::reply), then close the
/// connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The text after `*` is not a number, or the number exceeds the limit.
    InvalidMultibulkLength,
    /// The text after `$` is not a number, or the number is negative or exceeds the limit.
    InvalidBulkLength,
    /// An element of a request begins with this byte instead of `$`.
    ExpectedBulk(u8),
    /// The number after `*` exceeds the limit of a peer that has yet to authenticate.
    UnauthenticatedMultibulkLength,
    /// The number after `$` exceeds the limit of a peer that has yet to authenticate.
    UnauthenticatedBulkLength,
    /// A bulk string does not end with CR LF.
    UnterminatedBulk,
    /// An inline command has more than 64 KiB.
    TooBigInline,
    /// A `*` line has more than 64 KiB.
    TooBigMultibulkCount,
    /// A `$` line has more than 64 KiB.
    TooBigBulkCount,
    /// The quotes of an inline command do not match.
    UnbalancedQuotes,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            Self::InvalidMultibulkLength => f.write_str("invalid multibulk length"),
            Self::InvalidBulkLength => f.write_str("invalid bulk length"),
            Self::ExpectedBulk(got) => write!(f, "expected '$', got '{}'", got.escape_ascii()),
            Self::UnauthenticatedMultibulkLength => f.write_str("unauthenticated multibulk length"),
            Self::UnauthenticatedBulkLength => f.write_str("unauthenticated bulk length"),
            Self::UnterminatedBulk => f.write_str("expected CRLF after bulk"),
            Self::TooBigInline => f.write_str("too big inline request"),
            Self::TooBigMultibulkCount => f.write_str("too big mbulk count string"),
            Self::TooBigBulkCount => f.write_str("too big bulk count string"),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
        }
    }
}

impl std::error::Error for ProtocolError {}

impl ProtocolError {
    /// Returns the error reply that Redis sends, byte for byte.
    #[must_use]
    pub fn reply(&self) -> Error {
        let ProtocolError::ExpectedBulk(got) = self else { return Error::err(self) };
        let mut line = b"ERR Protocol error: expected '$', got '".to_vec();
        // Redis formats the text as a C string, which ends at a NUL.
        line.extend([*got, b'\''].iter().take_while(|byte| **byte != 0));
        Error::from_bytes(line)
    }
}
