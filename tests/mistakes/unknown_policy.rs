use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("DEL", write, split = "sum")]
    fn del(&mut self, _keys: Vec<Key>) -> i64 {
        0
    }

    #[command("SIZE", readonly, all = "total")]
    fn size(&self) -> i64 {
        0
    }

    #[command("MGET", readonly, split, all)]
    fn mget(&self, _keys: Vec<Key>) {}

    #[command("SCAN2", readonly, split = "scan")]
    fn scan(&self, _cursor: u64) {}
}

fn main() {}
