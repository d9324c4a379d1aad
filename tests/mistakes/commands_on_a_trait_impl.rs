#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

trait Get {
    fn get(&self) {}
}

#[commands]
impl Get for Store {
    #[command("GET")]
    fn get(&self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
