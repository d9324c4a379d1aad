use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands(rows = STRINGS, expire)]
impl Store {
    #[command("SET", write)]
    fn set(&mut self, _key: Key, _value: Bytes) {}
}

fn main() {}
