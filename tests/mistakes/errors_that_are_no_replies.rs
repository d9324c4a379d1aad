#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("TEXT")]
    fn text(&self) -> Result<i64, String> {
        Ok(1)
    }

    #[command("BOXED")]
    fn boxed(&self) -> Result<i64, Box<dyn std::error::Error>> {
        Ok(1)
    }

    #[command("READ")]
    fn read(&self) -> Result<i64, std::io::Error> {
        Ok(1)
    }
}

fn main() {
    let _ = App::new().mount(Store.start());
}
