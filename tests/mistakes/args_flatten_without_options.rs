#![allow(unused)]

use thegiant::prelude::*;

#[derive(Args)]
enum Order {
    Asc,
    Desc,
}

#[derive(Args)]
struct Common {
    #[arg("TTL")]
    ttl: Option<u64>,
}

#[derive(Args)]
struct OfAnEnum {
    #[arg(flatten)]
    order: Order,
}

#[derive(Args)]
struct OfAnOption {
    #[arg(flatten)]
    common: Option<Common>,
}

#[derive(Args)]
struct WithAToken {
    #[arg("COMMON", flatten)]
    common: Common,
}

fn main() {}
