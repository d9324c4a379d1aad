#![allow(unused)]

use thegiant::{Mountable, prelude::*};

fn add<A: Actor>(app: App, actor: Addr<A>) -> App {
    app.mount(actor)
}

struct Silent;

impl Actor for Silent {
    type Context = Context<Self>;
}

fn plain(app: App) -> App {
    app.mount(Silent.start())
}

fn boxed(app: App, actor: Box<dyn Mountable>) {}

fn main() {}
