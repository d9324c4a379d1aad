#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET")]
    fn get<K: Into<Bytes>>(&self, key: K) {}

    #[command("TAKE")]
    fn take<const N: usize>(&self) {}

    #[command("PUT")]
    fn put(&self, key: impl Into<Bytes>) {}

    #[command("ECHO")]
    fn echo<'a>(&self, text: &'a str) -> &'a str {
        text
    }
}

fn main() {
    let _ = App::new().mount(Store.start());
}
