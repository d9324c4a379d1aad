use thegiant::prelude::*;

fn main() {
    let push: fn(&Client) = |client| {
        client.push("news");
    };
    let _ = push;
}
