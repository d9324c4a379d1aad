use thegiant::prelude::*;

struct Orders;

impl Actor for Orders {
    type Context = Context<Self>;
}

#[commands]
impl Orders {
    #[command("LAST", readonly)]
    fn last(&self, key: Key<u64>) -> Key<u64> {
        key
    }
}

fn main() {}
