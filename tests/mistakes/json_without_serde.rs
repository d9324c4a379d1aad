#![allow(unused)]

use thegiant::{Json, prelude::*};

struct Store;

impl Actor for Store {
    type Context = Context<Self>;
}

struct Point {
    x: i64,
    y: i64,
}

#[commands]
impl Store {
    #[command("SET")]
    fn set(&mut self, key: Key, point: Json<Point>) {}

    #[command("GET")]
    fn get(&self, key: Key) -> Json<Point> {
        Json(Point { x: 0, y: 0 })
    }
}

fn main() {
    let _ = App::new().mount(Store.start());
}
