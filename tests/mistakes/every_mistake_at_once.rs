#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("get", readonly, wriet)]
    fn get(key: Option<Key>, (a, b): (i64, i64)) {}

    #[command("SET", write)]
    async fn set<T>(&mut self, key: Key, value: Vec<T>, more: T) {}

    #[command("SET")]
    fn set_again(&mut self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
