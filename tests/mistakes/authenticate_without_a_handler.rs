//! An actor that authenticates clients, and does not handle the message.

use thegiant::prelude::*;

struct Tokens;

impl Actor for Tokens {
    type Context = Context<Self>;
}

fn main() {
    let _ = App::new().authenticate(Tokens.start());
}
