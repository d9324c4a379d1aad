//! Looks up keys before the requests run that use them.

use crate::{
    Client,
    batch::{ActorId, Batch},
    command::Commands,
};

/// An actor that looks up the keys of its next requests ahead. `#[commands(prefetch)]` requires this trait.
///
/// In a large map, most of the time of a short command is spent waiting for memory that is not in the cache of the
/// processor: some hundred nanoseconds for each step from the key to its value. One command cannot shorten that wait. But a
/// processor waits for several lookups at once if none of them needs the result of another, and that is what
/// [`prefetch`](Self::prefetch) is for. The commands then find their data in the cache.
///
/// It is worth while for maps that are larger than the cache and for commands that do little else.
///
/// ```
/// use std::{collections::HashMap, hint};
/// use thegiant::{Prefetch, prelude::*};
///
/// struct Counters(HashMap<Bytes, u64>);
///
/// impl Actor for Counters {
///     type Context = Context<Self>;
/// }
///
/// #[commands(prefetch)]
/// impl Counters {
///     /// Counts an event.
///     #[command("COUNT", write)]
///     fn count(&mut self, event: Key<&[u8]>) -> u64 {
///         let Some(count) = self.0.get_mut(*event) else {
///             self.0.insert(Bytes::copy_from_slice(*event), 1);
///             return 1;
///         };
///         *count += 1;
///         *count
///     }
/// }
///
/// impl Prefetch for Counters {
///     fn prefetch<'a>(&self, _: &Client, keys: impl Iterator<Item = &'a [u8]>) {
///         // A smaller map is in the cache.
///         if self.0.len() > 10_000 {
///             // Without `black_box`, the compiler would remove lookups whose results nobody uses.
///             hint::black_box(keys.filter_map(|key| self.0.get(key)).sum::<u64>());
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Prefetch`",
    label = "`#[commands(prefetch)]` needs `impl Prefetch for {Self}`"
)]
pub trait Prefetch {
    /// Looks up these keys, and reads as much of their values as the commands will need.
    ///
    /// It is called before several requests of one client run, or one with several keys, with these keys in order: at most
    /// 64. Some may be missing from the map, and some may belong to commands that will fail.
    fn prefetch<'a>(&self, client: &Client, keys: impl Iterator<Item = &'a [u8]>);
}

/// Looks up keys ahead. `#[commands(prefetch)]` calls this.
#[inline]
pub fn prefetch<'a, A: Prefetch>(actor: &A, client: &Client, keys: impl Iterator<Item = &'a [u8]>) {
    actor.prefetch(client, keys);
}

/// Maximum number of requests, and of their keys, that are looked up ahead. Their data have to stay in the cache until the
/// requests have run.
pub(super) const AHEAD: usize = 64;

/// Requests with no more words than this have few keys, which are not looked up ahead.
const FEW_WORDS: usize = 5;

/// Lets an actor look up the keys of the next requests of a batch, if there are several.
#[inline]
pub(super) fn prefetch_next<A: Commands>(batch: &Batch, client: &Client, actor_id: ActorId, actor: &A) {
    if batch.words_left() > FEW_WORDS {
        prefetch_all(batch, client, actor_id, actor);
    }
}

fn prefetch_all<A: Commands>(batch: &Batch, client: &Client, actor_id: ActorId, actor: &A) {
    let keys = batch.upcoming(actor_id).take(AHEAD).flat_map(|(request, target)| {
        let keys = target.row.get::<A>().spec.keys.as_ref().zip(batch.requests.words(request));
        keys.into_iter().flat_map(|(keys, words)| {
            keys.positions(words.len(), move |at| words.get(at)).filter_map(move |at| words.get(at))
        })
    });
    actor.prefetch(client, keys.take(AHEAD));
}
