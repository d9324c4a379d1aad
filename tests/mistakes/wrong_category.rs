#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands(group = "My Store")]
impl Store {
    #[command("GET", categories("read", "slow"))]
    fn get(&self) {}

    #[command("SET", write, categories("@dangerous", "Dangerous"))]
    fn set(&mut self) {}

    #[command("DEL", write, categories("keyspace", "keyspace"))]
    fn del(&mut self) {}

    #[command("FLUSH", write, categories)]
    fn flush(&mut self) {}

    #[command("PURGE", write, categories())]
    fn purge(&mut self) {}

    #[command("DROP", write, group = "two words")]
    fn drop(&mut self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
