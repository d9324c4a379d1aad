#![allow(unused)]

use thegiant::prelude::*;

struct Pool;

impl Actor for Pool {
    type Context = SyncContext<Self>;
}

#[commands]
impl Pool {
    #[command("LATER")]
    fn later(&self) -> ResponseFuture<u64> {
        Box::pin(async { 1 })
    }
}

fn main() {
    let _ = App::new().mount(SyncArbiter::start(1, || Pool));
}
