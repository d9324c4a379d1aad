#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
struct Options {
    #[arg("")]
    count: Option<u64>,
    #[arg("TWO WORDS")]
    words: bool,
}

fn main() {}
