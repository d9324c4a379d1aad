#![allow(unused)]

use thegiant::Args;

struct Colour(u32);

#[derive(Args)]
struct Options {
    get: bool,
    count: Option<u64>,
    colour: Colour,
}

#[derive(Args)]
struct Only {
    colour: Option<Colour>,
}

fn main() {}
