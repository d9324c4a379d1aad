#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("DEL")]
    fn del(&mut self, keys: Vec<Key>, reason: String) {}

    #[command("COPY")]
    fn copy(&mut self, from: Vec<Key>, to: Vec<Key>) {}

    #[command("LIST")]
    fn list(&self, keys: Option<Vec<Key>>, limit: Option<i64>) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
