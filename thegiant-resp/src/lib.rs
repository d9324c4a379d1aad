#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
mod decoder;
mod encoder;
mod error;
mod frame_scanner;
mod from_reply;
pub mod glob;
mod incoming;
mod inline;
mod invalid_reply;
#[cfg(feature = "json")]
mod json;
mod limits;
mod number;
mod parsed;
mod protocol;
mod protocol_error;
mod span;
mod to_args;
mod units;
mod value;

pub use backoff::Backoff;
pub use decoder::{Decoder, LARGE_BULK, Progress};
pub use encoder::{BufferPosition, Encoder};
pub use error::{Error, ReplyError};
pub use frame_scanner::{FramePart, FrameScanner};
pub use from_reply::{FromReply, WrongReply};
pub use incoming::Incoming;
pub use invalid_reply::InvalidReply;
#[cfg(feature = "json")]
pub use json::Json;
pub use limits::DecodeLimits;
pub use number::{parse_float, parse_integer};
pub use parsed::Parsed;
pub use protocol::Protocol;
pub use protocol_error::ProtocolError;
pub use span::Span;
pub use to_args::{RequestBuilder, ToArgs};
pub use units::{Milliseconds, Seconds, UnixTime, UnixTimeMs};
pub use value::Value;
