#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET", until = "2.0.0")]
    fn get(&self) {}

    #[command("SET", write = "yes")]
    fn set(&mut self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
