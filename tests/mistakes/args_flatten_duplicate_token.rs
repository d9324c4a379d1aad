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
    order: Option<Order>,
}

#[derive(Args)]
struct AndAField {
    #[arg("TTL")]
    ttl: Option<u64>,
    #[arg(flatten)]
    common: Common,
}

#[derive(Args)]
struct AndAnEnum {
    #[arg(flatten)]
    common: Common,
    order: Option<Order>,
}

#[derive(Args)]
struct Other {
    desc: bool,
}

#[derive(Args)]
struct TwoStructs {
    #[arg(flatten)]
    common: Common,
    #[arg(flatten)]
    other: Other,
}

fn main() {}
