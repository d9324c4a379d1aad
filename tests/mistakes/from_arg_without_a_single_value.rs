#![allow(unused)]

use thegiant::prelude::*;

#[derive(FromArg)]
struct Port {
    number: u16,
}

#[derive(FromArg)]
struct Range(u16, u16);

#[derive(FromArg)]
struct Nothing;

fn main() {}
