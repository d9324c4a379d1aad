#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

impl Store {
    #[command("GET")]
    fn get(&self) {}
}

#[command("SET")]
fn set() {}

fn main() {}
