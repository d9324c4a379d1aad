#![allow(unused)]

use thegiant::{Parsed, prelude::*};

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("WAIT")]
    fn wait(&self, time: Parsed<std::time::Duration>) {}
}

fn main() {}
