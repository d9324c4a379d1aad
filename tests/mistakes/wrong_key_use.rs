#![allow(unused)]

use thegiant::prelude::*;

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    #[command("A", write)]
    fn unknown_words(&mut self, #[key(rw, read, changes)] key: Key) {}

    #[command("B", write)]
    fn quotes(&mut self, #[key("OW", "update")] key: Key) {}

    #[command("C", write)]
    fn no_mode(&mut self, #[key(update)] key: Key) {}

    #[command("D", write)]
    fn two_modes(&mut self, #[key(RO, RW, access)] key: Key) {}

    #[command("E", write)]
    fn read_and_updated(&mut self, #[key(RO, update)] key: Key) {}

    #[command("F", write)]
    fn unchanged(&mut self, #[key(RW, access)] key: Key) {}

    #[command("G", readonly)]
    fn readonly(&self, #[key(RM, delete)] key: Key) {}

    #[command("H", write)]
    fn two_uses(&mut self, #[key(OW, update)] #[key(RM, delete)] key: Key) {}

    #[command("I", write)]
    fn only_with(&mut self, #[key(RW, update, with = "GET")] key: Key) {}

    #[command("J", write)]
    fn unknown_key(&mut self, #[key(RW, update, token = "GET")] key: Key) {}

    #[command("K", write)]
    fn client(&mut self, #[key(RW, update)] client: &Client) {}
}

fn main() {
    let _ = App::new().mount(Store.start());
}
