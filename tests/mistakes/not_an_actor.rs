#![allow(unused)]

use thegiant::prelude::*;

struct Store;

#[commands]
impl Store {
    #[command("GET")]
    fn get(&self) {}

    #[command("SET")]
    fn set(&mut self, key: Key, value: Bytes) {}
}

fn main() {}
