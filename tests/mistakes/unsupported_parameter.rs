#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[derive(Clone)]
struct Colour(u32);

#[commands]
impl Store {
    #[command("PAINT")]
    fn paint(&mut self, colour: Colour) {}

    #[command("SHADES")]
    fn shades(&mut self, of: Key, shades: Vec<Colour>) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
