#![allow(unused)]

use thegiant_client::ToArgs;

struct Shade(u64);

#[derive(ToArgs)]
struct Wall(Shade);

/// Has no `Display`.
#[derive(ToArgs)]
#[arg(try_from = "&str")]
struct Colour(u32);

#[derive(ToArgs)]
struct Pair(u64, u64);

#[derive(ToArgs)]
struct Unit;

#[derive(ToArgs)]
union Either {
    one: u64,
    other: f64,
}

fn main() {}
