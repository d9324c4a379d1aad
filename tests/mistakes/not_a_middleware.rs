#![allow(unused)]

use thegiant::{middleware::Decision, prelude::*};

struct Counter;

fn main() {
    let app = App::new().middleware(Counter);
    let app = App::new().middleware(|request: &Request| true);
}
