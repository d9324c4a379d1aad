#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("CLOSE")]
    fn close(self) {}

    #[command("BOXED")]
    fn boxed(self: Box<Self>) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
