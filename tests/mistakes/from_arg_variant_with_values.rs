#![allow(unused)]

use thegiant::prelude::*;

#[derive(FromArg)]
enum Expiry {
    Never,
    Ex(u64),
}

fn main() {}
