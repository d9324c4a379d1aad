#![allow(unused)]

use thegiant::{
    command::{ArgSpec, Arguments},
    prelude::*,
    resp::Encoder,
};

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

struct Colour;

impl<'a> FromArg<'a> for Colour {
    const ARG: ArgSpec = u64::ARG;

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        u64::from_arg(args).map(|_| Colour)
    }
}

struct Shade(u64);

impl Reply for Shade {
    fn write_to(self, out: &mut Encoder) {
        self.0.write_to(out);
    }
}

#[derive(Args)]
struct Options {
    dark: bool,
}

#[commands(client)]
impl Store {
    #[command("PAINT")]
    fn paint(&self, wall: Key, colours: Vec<Colour>) {}

    #[command("MIX")]
    fn mix(&self, options: Options) -> Result<Vec<Shade>, Error> {
        Ok(vec![])
    }
}

fn main() {}
