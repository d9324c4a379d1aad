#![allow(unused)]

use thegiant::{Args, FromArg};
use thegiant_client::ToArgs;

#[derive(FromArg, ToArgs)]
#[arg("PORT")]
struct Port(u16);

#[derive(FromArg, ToArgs)]
#[arg(range = 1..)]
enum Side {
    #[arg("LEFT", "L")]
    Left,
}

#[derive(Args, ToArgs)]
#[arg("LIMIT")]
struct Limit {
    count: u64,
}

#[derive(Args, ToArgs)]
enum Nothing {}

fn main() {}
