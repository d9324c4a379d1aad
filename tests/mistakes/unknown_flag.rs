#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET", read_only)]
    fn get(&self) {}

    #[command("SET", write, deny)]
    fn set(&mut self) {}

    #[command("DEL", alias)]
    fn del(&mut self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
