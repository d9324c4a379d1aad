#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[derive(Args)]
struct Options {
    #[arg("EX", name = "seconds")]
    expiry: Option<u64>,
}

#[commands]
impl Store {
    /// Sets a value.
    ///
    /// # Arguments
    /// - `key` where
    /// - `EX` the time to live
    /// - `seconds` the same
    /// - `valeu` what
    #[command("SET")]
    fn set(&self, key: Key, value: Bytes, options: Options) {}
}

fn main() {}
