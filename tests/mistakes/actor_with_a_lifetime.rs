#![allow(unused)]

use thegiant::prelude::*;

struct Store<'a> {
    name: &'a str,
}

impl<'a> Actor for Store<'a> {
    type Context = Context<Self>;
}

#[commands]
impl<'a> Store<'a> {
    #[command("NAME")]
    fn name(&self) -> &str {
        self.name
    }
}

fn main() {}
