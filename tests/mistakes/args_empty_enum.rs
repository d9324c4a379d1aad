#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
enum Condition {}

fn main() {}
