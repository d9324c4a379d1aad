#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
struct Options {
    #[arg]
    count: Option<u64>,
    #[arg()]
    get: bool,
}

fn main() {}
