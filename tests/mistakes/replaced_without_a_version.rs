#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("SET", replaced_by = "`PUT`")]
    fn set(&self, key: Key, value: Bytes) {}
}

fn main() {}
