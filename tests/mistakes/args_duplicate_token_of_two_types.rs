#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
enum Condition {
    Nx,
    Xx,
}

#[derive(Args)]
enum Comparison {
    Gt,
    Nx,
}

#[derive(Args)]
struct WithAField {
    condition: Option<Condition>,
    xx: bool,
}

#[derive(Args)]
struct TwoGroups {
    condition: Option<Condition>,
    comparison: Option<Comparison>,
}

fn main() {}
