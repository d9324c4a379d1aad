#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("get", alias = "Fetch")]
    fn get(&self) {}

    #[command("fetch")]
    fn fetch(&self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
