#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands(rows = STRINGS, include(KEYS))]
impl Store {
    #[command("GET")]
    fn get(&self) {}
}

fn main() {}
