#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("TAKE")]
    fn take(&mut self, responder: Responder<u64>) -> u64 {
        1
    }

    #[command("TAKEONE")]
    fn take_one(&mut self, first: Responder<u64>, second: Responder<u64>) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
