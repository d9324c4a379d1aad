#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
struct Options {
    #[arg("COUNT", "LIMIT")]
    count: Option<u64>,
    #[arg("AT")]
    #[arg(unix_time)]
    at: Option<u64>,
}

fn main() {}
