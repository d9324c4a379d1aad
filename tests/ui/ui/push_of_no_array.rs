use thegiant::prelude::*;

fn main() {
    let tell: fn(&Client) = |client| {
        client.push("news");
    };
    let _ = tell;
}
