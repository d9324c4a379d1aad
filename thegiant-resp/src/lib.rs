#![doc = include_str!("../README.md")]

mod decoder;
mod encoder;
mod error;
mod frame_scanner;
mod from_reply;
pub mod glob;
mod incoming;
mod inline;
mod invalid_reply;
mod limits;
mod number;
mod protocol;
mod protocol_error;
mod span;
mod to_args;
mod value;

pub use decoder::{Decoder, LARGE_BULK, Progress};
pub use encoder::{BufferPosition, Encoder};
pub use error::{Error, ReplyError};
pub use frame_scanner::{FramePart, FrameScanner};
pub use from_reply::{FromReply, WrongReply};
pub use incoming::Incoming;
pub use invalid_reply::InvalidReply;
pub use limits::DecodeLimits;
pub use number::{parse_float, parse_integer};
pub use protocol::Protocol;
pub use protocol_error::ProtocolError;
pub use span::Span;
pub use to_args::{RequestBuilder, ToArgs};
pub use value::Value;
