#![allow(unused)]

use std::time::{Duration, SystemTime};

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("EXPIRE")]
    fn expire(&mut self, key: Key, after: Duration) {}

    #[command("EXPIREAT")]
    fn expire_at(&mut self, key: Key, at: SystemTime) {}

    #[command("TTL")]
    fn ttl(&self, key: Key) -> Duration {
        Duration::ZERO
    }

    #[command("EXPIRETIME")]
    fn expire_time(&self, key: Key) -> Option<SystemTime> {
        None
    }
}

fn main() {
    let _ = App::new().mount(Store.start());
}
