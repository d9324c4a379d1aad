#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("SCORE")]
    fn score(&self, player: Key) {}

    #[command("SCORE ADD")]
    fn add(&mut self, player: Key, points: i64) {}

    /// It has no arguments, so `CONFIG GET` is no argument of it.
    #[command("CONFIG")]
    fn config(&self) {}

    #[command("CONFIG GET")]
    fn config_get(&self, name: &str) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
