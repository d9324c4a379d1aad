#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("DEL", "UNLINK")]
    fn del(&mut self) {}

    #[command("GET")]
    #[command("FETCH")]
    fn get(&self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
