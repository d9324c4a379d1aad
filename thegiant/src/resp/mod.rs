//! The wire: RESP2 and RESP3 as bytes, with no I/O and no actors.
//!
//! - [`Decoder`] reads requests, a piece at a time: arrays of bulk strings and inline commands.
//! - [`Encoder`] appends replies to a buffer, each type in its RESP2 and its RESP3 form.
//! - [`Value`] is a reply whose type is known only at run time.
//!
//! The rules are those of the [RESP specification] and, where it is silent, of Redis 7.0.
//!
//! [RESP specification]: https://redis.io/docs/latest/develop/reference/protocol-spec/

mod decode;
mod encode;
mod error;
mod frame_scanner;
mod inline;
mod number;
pub(crate) mod read;
mod streaming;
mod value;

pub use decode::{DecodeLimits, Decoder, LARGE_BULK, Progress, ProtocolError, Span};
pub(crate) use encode::{BufferPosition, Replies};
pub use encode::{Encoder, Protocol};
pub use error::Error;
pub(crate) use frame_scanner::FrameScanner;
pub use number::{parse_float, parse_integer};
pub(crate) use read::Incoming;
pub(crate) use streaming::{Streamed, StreamingReply};
pub use value::Value;
