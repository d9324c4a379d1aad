#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("FETCH")]
    async fn fetch(client: &Client, url: Key<&str>) -> String {
        String::new()
    }
}

fn main() {
    let _ = App::new().mount(Store.start());
}
