use thegiant::{KeyEvents, prelude::*};

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET", readonly)]
    fn get(&self, _key: Key, _events: &mut KeyEvents) {}
}

fn main() {}
