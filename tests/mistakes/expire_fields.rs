use std::collections::HashMap;

use thegiant::{ExpiringMap, prelude::*};

struct Store {
    values: ExpiringMap<Bytes, Bytes>,
    counts: HashMap<Bytes, u64>,
}

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands(expire(value, counts))]
impl Store {
    #[command("SET", write)]
    fn set(&mut self, _key: Key, _value: Bytes) {}
}

struct Other;

impl Actor for Other {
    type Context = Context<Self>;
}

#[commands(expire())]
impl Other {
    #[command("GET", readonly)]
    fn get(&self, _key: Key) {}
}

fn main() {}
