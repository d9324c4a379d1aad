#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command(GET, readonly)]
    fn get(&self) {}

    #[command = "SET"]
    fn set(&mut self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
