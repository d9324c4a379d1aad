#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("RANGE")]
    fn range(&self, key: Key, from: Option<i64>, to: i64) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
