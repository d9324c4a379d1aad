//! What one read brought in.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use bytes::Bytes;

use super::{Client, pool};
use crate::{
    Error,
    command::{Call, Commands, Resolved, RowId, Spec},
    resp::{Encoder, Mark, Span},
};

/// The requests that one read brought in, and the replies to those that have been run.
///
/// A burst belongs to whoever runs its next request: the connection, or the handler actor that it
/// was sent to. It is answered in place and comes back.
#[derive(Default)]
pub(crate) struct Burst {
    /// The bytes of the requests, large bulk strings aside.
    pub(crate) input: Vec<u8>,
    /// The words of all requests, one after the other.
    pub(crate) spans: Vec<Span>,
    /// Bulk strings that have a buffer of their own.
    large: Vec<Bytes>,
    large_len: usize,
    /// A large bulk string that is being read.
    pub(crate) filling: Option<Filling>,
    requests: Vec<Request>,
    /// The request to be run next, and its first word.
    next: usize,
    next_span: usize,
    /// The replies.
    pub(crate) out: Encoder,
    /// Where the replies to requests before the next one end.
    mark: Mark,
    /// Who sent it.
    client: Option<Client>,
}

impl fmt::Debug for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Burst").field("requests", &self.requests.len()).finish_non_exhaustive()
    }
}

/// A large bulk string, and the bytes of it that are still to come.
pub(crate) struct Filling {
    pub(crate) bytes: Vec<u8>,
    pub(crate) missing: usize,
}

struct Request {
    /// The end of its words in `spans`.
    end: usize,
    target: Resolved<Target>,
}

/// Who runs a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The connection itself, or a handler actor.
    pub(crate) mount: MountId,
    /// The row among those of the mount.
    pub(crate) row: RowId,
}

/// A number that tells mounted actors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MountId(pub(crate) u16);

/// With so many bytes of replies, they are sent before more requests are run: a client that does
/// not read them cannot have them pile up.
const HIGH_WATER: usize = 1024 * 1024;

impl MountId {
    /// The connection itself.
    pub(crate) const SESSION: MountId = MountId(u16::MAX);
}

impl Burst {
    /// An empty burst, with the allocations of an earlier one if there is any.
    pub(crate) fn new() -> Box<Burst> {
        pool::take()
    }

    /// Keeps the allocations for another burst.
    pub(crate) fn recycle(mut self: Box<Burst>) {
        self.client = None;
        self.filling = None;
        self.large = Vec::new();
        self.large_len = 0;
        self.input.clear();
        self.spans.clear();
        self.requests.clear();
        self.input.shrink_to(pool::KEPT_BYTES);
        self.spans.shrink_to(pool::KEPT_BYTES / size_of::<Span>());
        self.requests.shrink_to(pool::KEPT_BYTES / size_of::<Request>());
        self.out.clear(pool::KEPT_BYTES);
        self.next = 0;
        self.next_span = 0;
        self.mark = Mark::default();
        pool::put(self);
    }

    /// Bytes that it holds on to.
    pub(crate) fn capacity(&self) -> usize {
        size_of::<Self>()
            + self.input.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.requests.capacity() * size_of::<Request>()
            + self.out.capacity()
    }

    /// Names the client; it is nobody's while it waits to be collected.
    pub(crate) fn belong_to(&mut self, client: &Client) {
        self.client.get_or_insert_with(|| client.clone());
    }

    /// Adds the request whose words have been appended to `spans`.
    pub(crate) fn push_request(&mut self, resolve: impl FnOnce(&Call<'_>) -> Resolved<Target>) {
        let start = self.requests.last().map_or(0, |request| request.end);
        let Some(client) = &self.client else { return };
        let call =
            Call { spec: None, spans: &self.spans[start..], input: &self.input, large: &self.large, client };
        let target = resolve(&call);
        self.requests.push(Request { end: self.spans.len(), target });
    }

    /// The next `len` bytes from `position` of the input are a bulk to be read into a buffer of its
    /// own; those that have arrived are moved there.
    pub(crate) fn begin_large(&mut self, position: usize, len: usize) {
        let arrived = (self.input.len() - position).min(len);
        let bytes = self.input.drain(position..position + arrived).collect();
        self.filling = Some(Filling { bytes, missing: len - arrived });
    }

    /// Takes in a large bulk that has been read; returns its index.
    pub(crate) fn push_large(&mut self, bytes: Bytes) -> usize {
        self.large_len += bytes.len();
        self.large.push(bytes);
        self.large.len() - 1
    }

    /// Bytes of memory that its requests take.
    pub(crate) fn unread_len(&self) -> usize {
        let filling = self.filling.as_ref().map_or(0, |filling| filling.bytes.len());
        self.input.len() + self.spans.len() * size_of::<Span>() + self.large_len + filling
    }

    /// Whether there are requests that have not been run.
    pub(crate) fn has_requests(&self) -> bool {
        self.next < self.requests.len()
    }

    /// What the request to be run next was resolved to; none while there are so many replies that
    /// they have to be sent first.
    pub(crate) fn next_target(&self) -> Option<Resolved<Target>> {
        let request = self.requests.get(self.next)?;
        (self.out.len() < HIGH_WATER).then_some(request.target)
    }

    /// The replies have been sent, and there are requests that have not been run.
    pub(crate) fn forget_replies(&mut self) {
        self.out.clear(pool::KEPT_BYTES);
        self.mark = Mark::default();
    }

    /// Drops the requests that have not been run.
    pub(crate) fn abandon_requests(&mut self) {
        self.next = self.requests.len();
    }

    /// Runs the next request and those behind it as long as they are for `mount`.
    ///
    /// A handler that panics is answered with an internal error; the rest goes on.
    pub(crate) fn run<A: Commands>(
        &mut self,
        mount: MountId,
        actor: &mut A,
        context: &mut A::CommandContext,
    ) {
        while self.next_row(mount).is_some() {
            let guarded = catch_unwind(AssertUnwindSafe(|| {
                while let Some(row) = self.next_row(mount) {
                    let row = row.get::<A>();
                    self.step(Some(&row.spec), |call, out| (row.run)(actor, call, context, out));
                }
            }));
            if guarded.is_err() {
                self.out.rewind(self.mark);
                self.step(None, |call, out| {
                    tracing::error!(command = ?call.quoted_name(), client = %call.client().addr(), "a handler panicked");
                    out.error(&Error::INTERNAL);
                });
            }
        }
    }

    /// Runs the next request with `run`.
    pub(crate) fn step(&mut self, spec: Option<&'static Spec>, run: impl FnOnce(&Call<'_>, &mut Encoder)) {
        let (Some(request), Some(client)) = (self.requests.get(self.next), &self.client) else { return };
        let call = Call {
            spec,
            spans: &self.spans[self.next_span..request.end],
            input: &self.input,
            large: &self.large,
            client,
        };
        run(&call, &mut self.out);
        self.advance();
    }

    /// Answers the next request and those behind it, as long as they are for `mount`, with `error`.
    pub(crate) fn refuse(&mut self, mount: MountId, error: &Error) {
        while self.next_row(mount).is_some() {
            self.step(None, |_, out| out.error(error));
        }
    }

    /// Gives the burst back to its connection.
    pub(crate) fn hand_back(mut self: Box<Self>) {
        // The client holds it until it is collected, so it must not hold the client.
        if let Some(client) = self.client.take() {
            client.hand_back(self);
        }
    }

    /// Moves what is not part of a complete request, everything from `start` of the input, to a
    /// burst of its own. That one is as small as it can be, since its client may take its time.
    pub(crate) fn split_off(&mut self, start: usize) -> Option<Box<Burst>> {
        let complete = self.requests.last().map_or(0, |request| request.end);
        if start == self.input.len() && complete == self.spans.len() && self.filling.is_none() {
            return None;
        }
        let mut tail = Box::new(Burst {
            input: self.input.split_off(start),
            spans: self.spans.split_off(complete),
            filling: self.filling.take(),
            ..Burst::default()
        });
        let is_large = |span: &&Span| matches!(span, Span::Large(_));
        let kept_large = self.large.len() - tail.spans.iter().filter(is_large).count();
        tail.large = self.large.split_off(kept_large);
        tail.large_len = tail.large.iter().map(Bytes::len).sum();
        self.large_len -= tail.large_len;
        for span in &mut tail.spans {
            span.rebase(start, kept_large);
        }
        Some(tail)
    }

    fn next_row(&self, mount: MountId) -> Option<RowId> {
        match self.next_target()? {
            Resolved::Command(target) if target.mount == mount => Some(target.row),
            _ => None,
        }
    }

    fn advance(&mut self) {
        self.next_span = self.requests[self.next].end;
        self.next += 1;
        self.mark = self.out.mark();
    }
}
