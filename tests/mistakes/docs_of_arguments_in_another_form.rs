#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    /// Sets a value.
    ///
    /// # Arguments
    /// - key where
    /// - `value` what
    /// - `value` again
    #[command("SET")]
    fn set(&self, key: Key, value: Bytes) {}
}

fn main() {}
