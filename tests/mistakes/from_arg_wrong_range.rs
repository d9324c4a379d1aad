#![allow(unused)]

use thegiant::prelude::*;

#[derive(FromArg)]
#[arg(range = "1..=100")]
struct Port(u16);

#[derive(FromArg)]
#[arg(range = 1..=2)]
enum Side {
    Left,
    Right,
}

#[derive(FromArg)]
#[arg(range = 1..=100)]
struct Name(String);

fn main() {}
