#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("MOVE")]
    fn step(&self, (x, y): (i64, i64)) {}

    #[command("SKIP")]
    fn skip(&self, _: Key, _unused: i64) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
