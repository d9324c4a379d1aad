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
    if !observed.is_empty() && keyspace.is_observed() {
        let failures = batch.stats.failures();
        let ran = observed.filter_map(|request| {
            let resolved = batch.requests.target(request)?;
            let has_written = failures.is_empty()
                || failures.binary_search_by_key(&request, |failure| failure.request).is_err();
            let scope = match resolved {
                Resolved::Split(_) => RanScope::AllParts,
                _ if batch.is_split_part(request) => RanScope::Part,
                _ => RanScope::Whole,
            };
            Some(Ran { command: spec_of(resolved)?, request, has_written, scope })
        });
        let are_by_themselves = !batch.is_in_transaction();
        let broadcasts = are_by_themselves && !batch.runs_one_by_one();
        keyspace.ran(client, batch, ran, are_by_themselves, broadcasts);
    }
    batch.clear_key_events();
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
    let reads = requests.filter_map(|request| {
        let command = spec_of(batch.requests.target(request)?)?;
        Some(Ran { command, request, has_written: false, scope: RanScope::Whole })
    });
    keyspace.ran(client, batch, reads, false, false);
}
