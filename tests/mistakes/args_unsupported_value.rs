#![allow(unused)]

use thegiant::Args;

struct Colour(u32);

#[derive(Args)]
struct Options {
    #[arg("COLOUR")]
    colour: Option<Colour>,
}

#[derive(Args)]
enum Paint {
    One(Colour),
    Two(Colour, i64),
}

fn main() {}
