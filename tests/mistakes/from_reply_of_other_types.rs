#![allow(unused)]

use thegiant_client::FromReply;

struct Shade(u64);

#[derive(FromReply)]
struct Name<'a>(&'a str);

#[derive(FromReply)]
struct Wall {
    shade: Shade,
    #[reply(skip)]
    neighbour: Shade,
}

#[derive(FromReply)]
struct Walls(Vec<Shade>);

#[derive(FromReply)]
enum Found {
    Nothing,
    One(u64, Shade),
    Two { shade: Shade },
}

fn main() {}
