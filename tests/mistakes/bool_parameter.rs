#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("CLEAR", write)]
    fn clear(&mut self, force: bool) {}

    #[command("SAVE", write)]
    fn save(&mut self, now: Option<bool>) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
