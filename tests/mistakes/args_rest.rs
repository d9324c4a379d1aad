#![allow(unused)]

use thegiant::prelude::*;

#[derive(Args)]
struct WithAToken {
    #[arg("ID", rest)]
    id: u64,
}

#[derive(Args)]
struct OutOfOrder {
    #[arg(rest)]
    names: Vec<String>,
    #[arg(rest)]
    id: u64,
}

#[derive(Args)]
enum Choice {
    #[arg(rest)]
    Name,
}

fn main() {}
