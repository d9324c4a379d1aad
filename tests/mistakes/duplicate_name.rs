#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("GET", alias = "FETCH")]
    fn get(&self) {}

    #[command("SET", alias = "GET")]
    fn set(&mut self) {}

    #[command("FETCH")]
    fn fetch(&self) {}

    #[cfg(unix)]
    #[command("OS")]
    fn unix(&self) {}

    #[cfg(not(unix))]
    #[command("OS")]
    fn other(&self) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
