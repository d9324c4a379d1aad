#![allow(unused)]

use thegiant::Reply;
use thegiant_client::FromReply;

#[derive(Reply, FromReply)]
#[reply(rename_all = "Kebab")]
struct Queue {
    #[reply(skip_none)]
    ready: u64,
}

#[derive(FromReply)]
struct Pair(#[reply(rename = "first")] u64, u64);

#[derive(FromReply)]
struct Nothing;

#[derive(FromReply)]
union Either {
    one: u64,
    other: f64,
}

fn main() {}
