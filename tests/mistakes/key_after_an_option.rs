#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("COPY")]
    fn copy(&mut self, count: Option<i64>, from: Option<Key>, to: Option<Key>) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
