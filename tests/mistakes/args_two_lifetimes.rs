#![allow(unused)]

use thegiant::Args;

#[derive(Args)]
struct Options<'a, 'b> {
    #[arg("FROM")]
    from: Option<&'a [u8]>,
    #[arg("TO")]
    to: Option<&'b [u8]>,
}

fn main() {}
