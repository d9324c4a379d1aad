#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
#[arg("EXPIRY")]
enum Expiry {
    Ex(#[arg(name = "seconds")] i64),
}

fn main() {}
