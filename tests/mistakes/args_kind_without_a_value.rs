#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
struct Options {
    #[arg("GET", pattern)]
    get: bool,
    #[arg(unix_time)]
    expiry: Option<Expiry>,
}

#[derive(Args)]
enum Expiry {
    #[arg(unix_time)]
    Persist,
    #[arg(unix_time)]
    Between(i64, i64),
}

fn main() {}
