#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands(name = "store")]
impl Store {
    #[command("GET")]
    fn get(&self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
