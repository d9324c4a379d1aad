#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
struct Options {
    #[arg("COUNT", seconds)]
    count: Option<u64>,
    #[arg("AT", unix_time, pattern)]
    at: Option<u64>,
    #[arg("BY", names = "by")]
    by: Option<u64>,
}

fn main() {}
