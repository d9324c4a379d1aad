use thegiant::{Commit, Expire, GroupCommit, Prefetch, prelude::*};

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("SET", write)]
    fn set(&mut self, _key: Key, _value: Bytes) {}
}

impl GroupCommit for Store {
    fn commit(&mut self, _: &mut Context<Self>) -> Commit {
        Commit::from(Ok::<_, Error>(()))
    }

    fn rollback(&mut self, _: &Error, _: &mut Context<Self>) {}
}

impl Expire for Store {
    fn first_deadline(&self) -> Option<i64> {
        None
    }

    fn remove_expired(&mut self, _limit: usize) -> usize {
        0
    }
}

impl Prefetch for Store {
    fn prefetch<'a>(&self, _: &Client, _keys: impl Iterator<Item = &'a [u8]>) {}
}

fn main() {}
