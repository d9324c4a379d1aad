#![allow(unused)]

use std::{cell::Cell, rc::Rc};

use thegiant::{middleware::{Decision, Middleware}, prelude::*};

#[derive(Default)]
struct Counter {
    calls: Cell<u64>,
}

impl Middleware for Counter {}

fn main() {
    let state = Rc::new(());
    let app = App::new().middleware(move |request: &Request| {
        let _ = &state;
        Decision::Run
    });
}
