#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET", readonly)]
    fn get(&self, #[key(RO, access)] key: Bytes) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
