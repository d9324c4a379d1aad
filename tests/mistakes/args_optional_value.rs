#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
enum Expiry {
    Ex(Option<i64>, i64),
    Between(Vec<i64>, i64),
}

fn main() {}
