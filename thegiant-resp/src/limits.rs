//! Limits of the decoder.

use super::ProtocolError;

/// Limits that a peer's requests must keep.
///
/// ```
/// use thegiant_resp::{DecodeLimits, Decoder, ProtocolError};
///
/// let limits = DecodeLimits::default().with_bulk_len(1024);
/// let mut decoder = Decoder::new(limits);
/// let mut input = b"*1\r\n$1025\r\n".to_vec();
/// assert_eq!(decoder.decode(&mut input, &mut Vec::new()), Err(ProtocolError::InvalidBulkLength));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// The maximum size of one bulk string in bytes. The default is 512 MiB, as `proto-max-bulk-len` in Redis.
    pub bulk_len: usize,
    /// The maximum number of arguments of one request. The default is 2147483647.
    pub args: usize,
    /// Whether the peer has yet to authenticate.
    ///
    /// Such a peer may send at most 10 arguments and bulk strings of 16 KiB, which is enough for `AUTH` and
    /// `HELLO`.
    pub unauthenticated: bool,
}

/// The limits of Redis for a peer that has yet to authenticate.
const UNAUTHENTICATED_ARGS: usize = 10;
const UNAUTHENTICATED_BULK_LEN: usize = 16 * 1024;

impl Default for DecodeLimits {
    fn default() -> Self {
        DecodeLimits { bulk_len: 512 * 1024 * 1024, args: i32::MAX as usize, unauthenticated: false }
    }
}

impl DecodeLimits {
    /// Sets the maximum size of one bulk string in bytes.
    #[must_use]
    pub fn with_bulk_len(self, bulk_len: usize) -> Self {
        DecodeLimits { bulk_len, ..self }
    }

    /// Sets the maximum number of arguments of one request.
    #[must_use]
    pub fn with_args(self, args: usize) -> Self {
        DecodeLimits { args, ..self }
    }

    /// Sets whether the peer has yet to authenticate.
    #[must_use]
    pub fn with_unauthenticated(self, unauthenticated: bool) -> Self {
        DecodeLimits { unauthenticated, ..self }
    }
}

/// The same limits in fewer bytes, because every connection stores them.
#[derive(Debug)]
pub(crate) struct Limits {
    bulk_len: usize,
    max_args: u32,
    unauthenticated: bool,
}

impl From<DecodeLimits> for Limits {
    fn from(limits: DecodeLimits) -> Self {
        let DecodeLimits { bulk_len, args, unauthenticated } = limits;
        let max_args = if unauthenticated { args.min(UNAUTHENTICATED_ARGS) } else { args };
        // An input below 4 GiB cannot contain more arguments than a `u32` can count.
        Limits { bulk_len, max_args: u32::try_from(max_args).unwrap_or(u32::MAX), unauthenticated }
    }
}

impl Limits {
    #[inline]
    pub(crate) fn max_args(&self) -> usize {
        self.max_args as usize
    }

    #[inline]
    pub(crate) fn max_bulk_len(&self) -> usize {
        if self.unauthenticated { self.bulk_len.min(UNAUTHENTICATED_BULK_LEN) } else { self.bulk_len }
    }

    #[cold]
    pub(crate) fn too_many_args(&self, count: usize) -> ProtocolError {
        let is_invalid_for_all = count > DecodeLimits::default().args;
        if is_invalid_for_all || !self.unauthenticated {
            ProtocolError::InvalidMultibulkLength
        } else {
            ProtocolError::UnauthenticatedMultibulkLength
        }
    }

    #[cold]
    pub(crate) fn too_long_bulk(&self, len: usize) -> ProtocolError {
        let is_invalid_for_all = len > self.bulk_len;
        if is_invalid_for_all {
            ProtocolError::InvalidBulkLength
        } else {
            ProtocolError::UnauthenticatedBulkLength
        }
    }
}
