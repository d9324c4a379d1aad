use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands(prefetch)]
impl Store {
    #[command("GET", readonly)]
    fn get(&self, _key: Key) {}
}

fn main() {}
