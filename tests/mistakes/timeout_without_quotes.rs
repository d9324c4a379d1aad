#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("TAKE", timeout = 5)]
    fn take(&mut self, responder: Responder<u64>) {}

    #[command("GIVE", timeout = 500ms)]
    fn give(&mut self, responder: Responder<u64>) {}

    #[command("KEEP", since = 1.2)]
    fn keep(&mut self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
