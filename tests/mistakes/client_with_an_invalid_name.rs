#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands(client = "store client")]
impl Store {
    #[command("GET")]
    fn get(&self, key: Key) {}
}

fn main() {}
