#![allow(unused)]

use thegiant::prelude::*;

#[derive(FromArg)]
#[arg("PORT", name = "port")]
struct Port(u16);

#[derive(FromArg)]
#[arg(error = "ERR not a share")]
struct Share(f64);

#[derive(FromArg)]
struct Number(#[arg(range = 1..)] u64);

#[derive(FromArg)]
enum Side {
    #[arg(alias = "RIGHT")]
    Left,
    Right,
}

fn main() {}
