use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("DEL", write, split)]
    fn del(&mut self, keys: Vec<Key>) -> usize {
        keys.len()
    }

    #[command("TOUCH", write, split = "agg_sum")]
    fn touch(&mut self, _keys: Vec<Key>) -> bool {
        true
    }

    #[command("NAMES", readonly, all)]
    fn names(&self) -> String {
        String::new()
    }
}

fn main() {}
