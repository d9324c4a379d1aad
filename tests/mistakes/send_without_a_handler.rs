use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET", readonly)]
    fn get(&self, key: Key<&[u8]>) -> usize {
        key.len()
    }
}

struct Clear;

impl thegiant::actix::Message for Clear {
    type Result = ();
}

fn main() {
    Store.start().do_send(Clear);
}
