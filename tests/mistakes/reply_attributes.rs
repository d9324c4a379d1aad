#![allow(unused)]

use thegiant::prelude::*;

#[derive(Reply)]
#[reply(rename_all = "Kebab", rename = "queue")]
struct Queue {
    #[reply(skip_none)]
    ready: u64,
    #[reply(rename = "ready")]
    jobs: u64,
    #[reply("out")]
    out: u64,
}

#[derive(Reply)]
struct Pair(#[reply(rename = "first")] u64, u64);

#[derive(Reply)]
enum Found {
    #[reply(rename = "one")]
    One(u64),
    #[reply(skip)]
    Nothing,
}

fn main() {}
