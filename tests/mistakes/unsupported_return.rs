#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

struct Colour(u32);

#[commands]
impl Store {
    #[command("COLOUR")]
    fn colour(&self) -> Colour {
        Colour(0)
    }

    #[command("COLOURS")]
    fn colours(&self) -> Vec<Colour> {
        vec![]
    }

    #[command("DEBUG")]
    fn debug(&self) -> impl std::fmt::Debug {
        1.5
    }
}

fn main() {
    let _ = App::new().mount(Store.start());
}
