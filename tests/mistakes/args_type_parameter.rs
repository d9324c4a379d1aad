#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
struct Options<T, const N: usize> {
    #[arg("COUNT")]
    count: Option<T>,
}

fn main() {}
