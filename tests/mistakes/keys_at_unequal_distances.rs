#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("SWAP")]
    fn swap(&mut self, one: Key, at: i64, two: Key, three: Key) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
