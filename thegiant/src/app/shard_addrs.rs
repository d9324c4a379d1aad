//! The addresses of the shards of an actor.

use std::{fmt, ops::Deref, vec};

use actix::{Actor, Addr};

use crate::split::shard;

/// The addresses of all [shards](crate::App::mount_shards) of an actor, in the order of their numbers.
///
/// [`App::shards`](crate::App::shards) returns them. It is a slice, so it can be iterated.
///
/// ```
/// use thegiant::{ShardAddrs, prelude::*};
///
/// struct Views;
///
/// impl Actor for Views {
///     type Context = Context<Self>;
/// }
///
/// #[commands]
/// impl Views {
///     #[command("VIEW", write)]
///     fn view(&mut self, _page: Key) {}
/// }
///
/// struct Visit {
///     page: String,
/// }
///
/// impl Message for Visit {
///     type Result = ();
/// }
///
/// impl Handler<Visit> for Views {
///     type Result = ();
///     fn handle(&mut self, _: Visit, _: &mut Context<Self>) {}
/// }
///
/// fn report(views: &ShardAddrs<Views>, page: String) {
///     views.of(&page).do_send(Visit { page });
/// }
///
/// let views = App::new().mount_shards(4, |_| Views).shards::<Views>();
/// assert_eq!(views.len(), 4);
/// report(&views, "home".to_owned());
/// ```
pub struct ShardAddrs<A: Actor>(Vec<Addr<A>>);

impl<A: Actor> ShardAddrs<A> {
    pub(super) fn new(addresses: Vec<Addr<A>>) -> Self {
        ShardAddrs(addresses)
    }

    /// Returns the address of the shard that has a key.
    ///
    /// A client with a [key prefix](crate::Client::key_prefix) has it in its keys: the key is that of a parameter `Key`.
    pub fn of(&self, key: impl AsRef<[u8]>) -> &Addr<A> {
        &self.0[usize::from(shard(key.as_ref(), self.0.len() as u16))]
    }
}

impl<A: Actor> Deref for ShardAddrs<A> {
    type Target = [Addr<A>];

    fn deref(&self) -> &[Addr<A>] {
        &self.0
    }
}

impl<A: Actor> IntoIterator for ShardAddrs<A> {
    type Item = Addr<A>;
    type IntoIter = vec::IntoIter<Addr<A>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<A: Actor> Clone for ShardAddrs<A> {
    fn clone(&self) -> Self {
        ShardAddrs(self.0.clone())
    }
}

impl<A: Actor> fmt::Debug for ShardAddrs<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardAddrs").field("len", &self.0.len()).finish_non_exhaustive()
    }
}
