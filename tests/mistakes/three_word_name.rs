#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("CONFIG GET ALL")]
    fn get(&self) {}

    #[command("CONFIG  SET")]
    fn set(&self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
