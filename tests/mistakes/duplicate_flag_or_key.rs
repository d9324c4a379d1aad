#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET", fast, readonly, fast)]
    fn get(&self) {}

    #[command("SET", since = "1.0.0", since = "2.0.0")]
    fn set(&mut self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
