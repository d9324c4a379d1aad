#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("NOW")]
    fn now() -> u64 {
        0
    }
}

fn main() {
    let _ = App::new().mount(Store.start());
}
