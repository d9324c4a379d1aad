//! Runs the requests of a batch.

use crate::{
    Client, Keyspace, Request,
    batch::{Batch, CommandRef, ReplyBuffer, Resolved},
    command::{Flags, Spec},
    keyspace::{Ran, RanScope},
    resp::Encoder,
};

/// Runs the next request of a batch with `run`. `spec` is `None` if the request is rejected.
#[inline]
pub(crate) fn step(
    batch: &mut Batch,
    client: &Client,
    spec: Option<&'static Spec>,
    run: impl FnOnce(&Request<'_>, &mut ReplyBuffer),
) {
    let Some((words, out)) = batch.next_parts() else { return };
    run(&Request { spec, words, client }, out);
    batch.complete(spec.is_none(), || spec.is_some_and(|spec| spec.flags.contains(Flags::BLOCKING)));
}

/// Answers the next request of a batch without running it.
pub(crate) fn reject(batch: &mut Batch, client: &Client, answer: impl FnOnce(&Request<'_>, &mut Encoder)) {
    step(batch, client, None, |request, out| answer(request, out.encoder_mut()));
}

/// Reports the keys that requests of a batch have read and written since the last report.
///
/// If the requests [run one by one](Batch::runs_one_by_one), the caller ends its reports with
/// [`Keyspace::broadcast`].
#[cold]
pub(crate) fn report_keys(
    batch: &mut Batch,
    client: &Client,
    keyspace: &Keyspace,
    spec_of: impl Fn(Resolved<CommandRef>) -> Option<&'static Spec>,
) {
    let observed = batch.take_observed();
    if observed.is_empty() || !keyspace.is_observed() {
        return;
    }
    let failures = batch.stats.failures();
    let mut left = batch.stats.key_events_from(observed.start);
    let ran = observed.filter_map(|index| {
        let others = left.iter().position(|(request, _)| *request != index).unwrap_or(left.len());
        let (events, later) = left.split_at(others);
        left = later;
        let (command, request) = request_at(batch, client, index, &spec_of)?;
        let has_written = failures.binary_search_by_key(&index, |failure| failure.request).is_err();
        let scope = match batch.requests.target(index)? {
            Resolved::Split(_) => RanScope::AllParts,
            _ if batch.is_split_part(index) => RanScope::Part,
            _ => RanScope::Whole,
        };
        Some(Ran { command, request, has_written, scope, events })
    });
    let are_by_themselves = !batch.is_in_transaction();
    keyspace.ran(client, ran, are_by_themselves, are_by_themselves && !batch.runs_one_by_one());
}

/// Reports the keys that requests of a batch are about to read.
#[cold]
pub(super) fn report_reads(
    batch: &Batch,
    client: &Client,
    keyspace: &Keyspace,
    requests: impl Iterator<Item = u32>,
    spec_of: impl Fn(Resolved<CommandRef>) -> Option<&'static Spec>,
) {
    let reads = requests.filter_map(|index| {
        let (command, request) = request_at(batch, client, index, &spec_of)?;
        Some(Ran { command, request, has_written: false, scope: RanScope::Whole, events: &[] })
    });
    keyspace.ran(client, reads, false, false);
}

fn request_at<'b>(
    batch: &'b Batch,
    client: &'b Client,
    index: u32,
    spec_of: &impl Fn(Resolved<CommandRef>) -> Option<&'static Spec>,
) -> Option<(&'static Spec, Request<'b>)> {
    let spec = spec_of(batch.requests.target(index)?)?;
    Some((spec, Request::new(batch.requests.words(index)?, client)))
}
