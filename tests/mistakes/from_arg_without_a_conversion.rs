#![allow(unused)]

use thegiant::prelude::*;

#[derive(FromArg)]
#[arg(try_from = "u64")]
struct Even(u64);

#[derive(FromArg)]
#[arg(try_from = "u64")]
struct Odd(u64);

struct NoText;

impl TryFrom<u64> for Odd {
    type Error = NoText;

    fn try_from(number: u64) -> Result<Self, NoText> {
        if number % 2 == 1 { Ok(Odd(number)) } else { Err(NoText) }
    }
}

fn main() {}
