#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
struct Options {
    get: bool,
    #[arg("GET")]
    count: Option<u64>,
}

#[derive(Args)]
enum Expiry {
    Ex(i64),
    #[arg("EX")]
    ExAt(i64),
}

fn main() {}
