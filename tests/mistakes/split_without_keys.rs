use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET", readonly, split)]
    fn get(&self, _key: Key) {}

    #[command("PING2", split = "agg_sum")]
    fn ping(&self) {}

    #[command("BITOP", write, split)]
    fn bitop(&mut self, _destination: Key, _sources: Vec<Key>) {}

    #[command("COUNT", readonly, all = "agg_sum")]
    fn count(&self, _key: Key) -> i64 {
        0
    }

    #[command("PAGE", readonly, all = "scan")]
    fn page(&self) {}
}

fn main() {}
