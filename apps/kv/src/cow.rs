//! Bytes that are borrowed or owned.

use thegiant::{
    FromArg,
    command::{ArgKind, ArgSpec, Arguments},
    prelude::*,
    resp::Encoder,
};

/// A key or a value: borrowed if it is short, so that it is copied only once, or a handle of shared bytes.
#[derive(Clone, Debug)]
pub enum CowBytes<'a> {
    /// Bytes of a request or of a store.
    Borrowed(&'a [u8]),
    /// Shared bytes.
    Owned(Bytes),
}

impl CowBytes<'_> {
    /// Minimum length of an argument that is read as [`Owned`](CowBytes::Owned).
    pub(crate) const LONG: usize = 1024;

    /// Returns the bytes as [`Bytes`], which can outlive the borrow. This copies borrowed bytes.
    pub fn into_bytes(self) -> Bytes {
        match self {
            CowBytes::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            CowBytes::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for CowBytes<'_> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        match self {
            CowBytes::Borrowed(bytes) => bytes,
            CowBytes::Owned(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for CowBytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        CowBytes::Borrowed(bytes)
    }
}

impl From<Bytes> for CowBytes<'_> {
    fn from(bytes: Bytes) -> Self {
        CowBytes::Owned(bytes)
    }
}

/// An argument. A store keeps a long one without another copy.
impl<'a> FromArg<'a> for CowBytes<'a> {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::String);

    #[inline(always)]
    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        match args.peek() {
            Some(long) if long.len() >= Self::LONG => args.take_bytes().map(CowBytes::Owned),
            _ => args.take().map(CowBytes::Borrowed),
        }
    }
}

impl Reply for CowBytes<'_> {
    #[inline]
    fn write_to(self, out: &mut Encoder) {
        match self {
            CowBytes::Borrowed(bytes) => bytes.write_to(out),
            CowBytes::Owned(bytes) => bytes.write_to(out),
        }
    }
}
