#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
struct Options;

fn main() {}
