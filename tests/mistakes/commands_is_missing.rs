#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

impl Store {
    fn get(&self, key: Key) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
