#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("TAKE", timeout = "5")]
    fn take(&mut self, responder: Responder<u64>) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
