#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[derive(Args)]
struct Into {
    #[arg("STORE")]
    destination: Option<Key>,
}

#[commands]
impl Store {
    #[command("SORT")]
    fn sort(&mut self, into: Into) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
