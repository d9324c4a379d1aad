#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
struct Options(bool, bool);

fn main() {}
