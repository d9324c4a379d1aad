#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("KEYS", alias = "STORE KEYS")]
    fn keys(&self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
