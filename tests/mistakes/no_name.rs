#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command]
    fn get(&self) {}

    #[command(readonly)]
    fn set(&mut self) {}

    #[command("")]
    fn del(&mut self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
