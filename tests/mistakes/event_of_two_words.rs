use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("RENAME", write, event = "rename_from rename_to")]
    fn rename(&mut self, _key: Key, _to: Key) {}
}

fn main() {}
