#![allow(unused)]

use thegiant::prelude::*;

#[derive(Reply)]
struct Job {
    id: u64,
    since: std::time::Instant,
}

fn main() {}
