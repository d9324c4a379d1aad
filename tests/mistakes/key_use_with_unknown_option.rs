#![allow(unused)]

use thegiant::prelude::*;

#[derive(Args)]
struct Options {
    get: bool,
}

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("SET", write)]
    fn set(
        &mut self,
        #[key(OW, update)]
        #[key(RW, access, update, with = "GETT")]
        key: Key,
        value: Bytes,
        options: Options,
    ) {
    }
}

fn main() {
    let _ = App::new().mount(Store.start());
}
