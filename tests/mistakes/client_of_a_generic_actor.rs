#![allow(unused)]

use thegiant::prelude::*;

struct Store<T>(T);

impl<T: Unpin + 'static> Actor for Store<T> {
    type Context = Context<Self>;
}

#[commands(client)]
impl<T: Unpin + 'static> Store<T> {
    #[command("GET")]
    fn get(&self, key: Key) {}
}

fn main() {}
