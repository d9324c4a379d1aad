//! The replies of a batch.

use std::{
    fmt,
    task::{Context, Poll},
};

use super::{KeyEvents, WaitId};
use crate::{
    Error,
    resp::{BufferPosition, Encoder},
};

/// The mode of `CLIENT REPLY`: which replies the server sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ReplyMode {
    #[default]
    On,
    Off,
    /// `Skip` from the next command on. This command asked for it.
    SkipNext,
    /// The server does not send the reply of this command, and then returns to `On`.
    Skip,
}

/// Generates the rest of a reply in parts.
pub(crate) trait StreamingReply: Send {
    /// Appends to `out` until that has `max_len` bytes. The caller can send the output while the reply is pending.
    fn poll_write(&mut self, out: &mut Encoder, max_len: usize, cx: &mut Context<'_>) -> Poll<Streamed>;
}

/// The progress of a streaming reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Streamed {
    /// The reply is incomplete.
    More,
    /// The reply is complete.
    Done,
    /// The reply is complete, and it is an error.
    Failed,
    /// The reply can never be completed.
    Broken,
}

impl fmt::Debug for dyn StreamingReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamingReply")
    }
}

/// The replies of a batch: an [`Encoder`], and the state of the current reply.
///
/// An [`Answer`](crate::command::Answer) appends to the encoder. A method that gets its own
/// [`Responder`](crate::Responder) defers the reply instead, and [`ArrayStream`](crate::ArrayStream) stream it.
#[derive(Debug, Default)]
pub struct ReplyBuffer {
    encoder: Encoder,
    /// The reasons to look at the current reply, apart from an error; see [`is_noteworthy`](Self::is_noteworthy).
    notes: u8,
    mode: ReplyMode,
    /// The wait for the current reply, if the note `DEFERRED` is set.
    deferred: Option<WaitId>,
    /// The end of the output before the current reply that is sent in every mode, if the note `KEPT` is set.
    kept: BufferPosition,
    /// The rest of the current reply, if the note `STREAMING` is set.
    streaming: Option<Box<dyn StreamingReply>>,
    /// The changes that commands have made to their keys. With the note `EVENTS`, the current command may have made some.
    pub(super) key_events: KeyEvents,
}

const TIMED: u8 = 1;
const NOT_ALL_SENT: u8 = 1 << 1;
const DEFERRED: u8 = 1 << 2;
const KEPT: u8 = 1 << 3;
const STREAMING: u8 = 1 << 4;
const SEPARATE: u8 = 1 << 5;
const EVENTS: u8 = 1 << 6;

impl ReplyBuffer {
    /// Returns the encoder.
    #[must_use]
    #[inline]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Returns the encoder, to append a reply.
    #[must_use]
    #[inline]
    pub fn encoder_mut(&mut self) -> &mut Encoder {
        &mut self.encoder
    }

    /// Appends an error as the reply.
    pub fn error(&mut self, error: &Error) {
        self.encoder.error(error);
    }

    /// Returns the parameter of a command that says which keys it changes.
    #[inline]
    pub fn key_events(&mut self) -> &mut KeyEvents {
        if self.key_events.is_observed() {
            self.note(EVENTS, true);
        }
        &mut self.key_events
    }

    /// Assigns what the current command has done to its keys to its request, and clears that note.
    #[inline]
    pub(super) fn assign_key_events(&mut self, request: u32) {
        if self.notes & EVENTS != 0 {
            self.note(EVENTS, false);
            self.key_events.assign_to(request);
        }
    }

    /// Returns whether the reply at `start` is an error or has a note.
    ///
    /// It is one check, because a batch makes it after each reply.
    #[inline]
    pub(crate) fn is_noteworthy(&self, start: BufferPosition) -> bool {
        self.notes != 0 || self.encoder.is_error_at(start)
    }

    /// Returns whether the reply at `start` is an error or has a note apart from that of a part.
    #[inline]
    pub(crate) fn is_special(&self, start: BufferPosition) -> bool {
        self.notes & !SEPARATE != 0 || self.encoder.is_error_at(start)
    }

    /// Returns whether every reply is noteworthy.
    pub(crate) fn has_notes(&self) -> bool {
        self.notes != 0
    }

    /// Makes each reply noteworthy, or not, because the batch measures the time of each.
    pub(crate) fn set_timed(&mut self, timed: bool) {
        self.note(TIMED, timed);
    }

    /// Makes each reply noteworthy, because the batch records where it ends.
    pub(crate) fn set_separate(&mut self, separate: bool) {
        self.note(SEPARATE, separate);
    }

    /// Returns whether the batch records the end of each reply.
    pub(crate) fn is_separate(&self) -> bool {
        self.notes & SEPARATE != 0
    }

    /// Defers the reply: a [`Responder`](crate::Responder) sends it later.
    pub(crate) fn defer(&mut self, wait_id: WaitId) {
        self.note(DEFERRED, true);
        self.deferred = Some(wait_id);
    }

    /// Returns the wait for the current reply if that was [deferred](Self::defer), and clears that note.
    pub(crate) fn take_deferred(&mut self) -> Option<WaitId> {
        self.note(DEFERRED, false);
        self.deferred.take()
    }

    /// Marks the output up to here as messages that are sent even if the reply is not.
    pub(crate) fn keep(&mut self) {
        self.note(KEPT, true);
        self.kept = self.encoder.position();
    }

    /// Returns the start of the reply after the messages that are [kept](Self::keep), and clears that note.
    ///
    /// Without such messages, the reply begins at `start`.
    pub(crate) fn take_kept(&mut self, start: BufferPosition) -> BufferPosition {
        let is_kept = self.notes & KEPT != 0;
        self.note(KEPT, false);
        if is_kept { self.kept } else { start }
    }

    /// Leaves the rest of the reply to `streaming`.
    pub(crate) fn set_streaming(&mut self, streaming: Box<dyn StreamingReply>) {
        self.note(STREAMING, true);
        self.streaming = Some(streaming);
    }

    /// Takes the rest of the reply, if it is streamed.
    pub(crate) fn take_streaming(&mut self) -> Option<Box<dyn StreamingReply>> {
        self.note(STREAMING, false);
        self.streaming.take()
    }

    pub(crate) fn mode(&self) -> ReplyMode {
        self.mode
    }

    /// Sets which replies are sent. The batch applies the mode after each reply.
    pub(crate) fn set_mode(&mut self, mode: ReplyMode) {
        self.mode = mode;
        self.note(NOT_ALL_SENT, mode != ReplyMode::On);
    }

    /// Removes the output after `position`, and the rest of a streaming reply.
    pub(crate) fn rewind(&mut self, position: BufferPosition) {
        self.encoder.rewind(position);
        self.take_streaming();
    }

    /// Removes the output and keeps at most `max_capacity` bytes of memory.
    pub(crate) fn clear(&mut self, max_capacity: usize) {
        self.encoder.clear();
        self.encoder.shrink_to(max_capacity);
    }

    fn note(&mut self, note: u8, set: bool) {
        self.notes = if set { self.notes | note } else { self.notes & !note };
    }
}
