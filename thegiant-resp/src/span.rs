//! The position of an argument.

use std::ops::Range;

use bytes::Bytes;

/// The position of one argument of a request.
///
/// It is exhaustive by design: an argument is in the input or in a separate buffer.
///
/// ```
/// use thegiant_resp::Span;
///
/// let span = Span::Input { start: 8, end: 12 };
/// assert_eq!(span.get(b"*1\r\n$4\r\nPING\r\n", &[]), Some(&b"PING"[..]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// A range of the decoded input.
    Input {
        /// The offset of the first byte.
        start: u32,
        /// The offset after the last byte.
        end: u32,
    },
    /// The index of a buffer that [`Progress::Large`](crate::Progress::Large) announced, counted from 0.
    Large(u32),
}

impl Span {
    #[inline]
    pub(crate) fn input(range: Range<usize>) -> Self {
        // The caller keeps its input below 4 GiB. If it does not, saturation prevents a wrong position.
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span::Input { start: offset(range.start), end: offset(range.end) }
    }

    /// Returns the range of an argument in the input, or `None` if the argument is in a separate buffer.
    ///
    /// ```
    /// use thegiant_resp::Span;
    ///
    /// assert_eq!(Span::Input { start: 8, end: 12 }.input_range(), Some(8..12));
    /// assert_eq!(Span::Large(0).input_range(), None);
    /// ```
    #[must_use]
    pub fn input_range(&self) -> Option<Range<u32>> {
        match *self {
            Span::Input { start, end } => Some(start..end),
            Span::Large(_) => None,
        }
    }

    /// Returns the bytes of the argument, or `None` if the buffers do not contain it.
    ///
    /// `large` holds the large bulk strings in the order in which the decoder announced them.
    #[must_use]
    #[inline]
    pub fn get<'a>(self, input: &'a [u8], large: &'a [Bytes]) -> Option<&'a [u8]> {
        match self {
            Span::Input { start, end } => input.get(start as usize..end as usize),
            Span::Large(index) => large.get(index as usize).map(|bytes| bytes.as_ref()),
        }
    }

    /// Adjusts the position after the caller has removed bytes and buffers from the front.
    ///
    /// `input` is the number of removed input bytes, `large` the number of removed buffers. Both counts must
    /// end before this argument.
    #[inline]
    pub fn rebase(&mut self, input: usize, large: usize) {
        match self {
            Span::Input { start, end } => {
                *start = start.saturating_sub(input as u32);
                *end = end.saturating_sub(input as u32);
            }
            Span::Large(index) => *index = index.saturating_sub(large as u32),
        }
    }
}
