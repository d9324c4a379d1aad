#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
struct Options {
    #[arg("count")]
    count: Option<u64>,
}

#[derive(Args)]
enum Expiry {
    #[arg("Px")]
    Px(i64),
}

fn main() {}
