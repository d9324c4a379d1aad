#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
struct Other {
    field: u8,
}

fn main() {
    let _ = Other { field: 1 };
}
