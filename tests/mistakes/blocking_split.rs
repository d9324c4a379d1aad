use thegiant::prelude::*;

struct Queue;

impl Actor for Queue {
    type Context = Context<Self>;
}

#[commands]
impl Queue {
    #[command("TAKE", write, blocking, split)]
    async fn take(_keys: Vec<Key>) {}
}

fn main() {}
