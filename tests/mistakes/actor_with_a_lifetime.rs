#![allow(unused)]

use thegiant::prelude::*;

struct Store<'a> {
    name: &'a str,
}

#[commands]
impl<'a> Store<'a> {
    #[command("NAME")]
    fn name(&self) -> &str {
        self.name
    }
}

fn main() {}
