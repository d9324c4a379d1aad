#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET")]
    async fn get(&self, key: Key) -> Bytes {
        key.into()
    }
}

fn main() {
    let _ = App::new().mount(Store.start());
}
