#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("RENAME")]
    fn rename(&mut self, pairs: Vec<(Key, Key)>) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
