#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
union Options {
    get: bool,
    set: bool,
}

fn main() {}
