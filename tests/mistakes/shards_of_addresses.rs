#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET")]
    fn get(&self, key: Key) {}
}

fn main() {
    let _ = App::new().mount_shards(2, |_| Store.start());
}
