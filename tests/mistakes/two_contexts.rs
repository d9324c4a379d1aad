#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("STOP")]
    fn stop(&mut self, first: &mut Context<Self>, second: &mut Context<Self>) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
