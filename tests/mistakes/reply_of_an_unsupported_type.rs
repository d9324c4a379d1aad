#![allow(unused)]

use thegiant::prelude::*;

#[derive(Reply)]
struct Nothing;

#[derive(Reply)]
union Either {
    one: u64,
    other: f64,
}

fn main() {}
