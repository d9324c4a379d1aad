//! The Rust clients: `rust-clients CLIENT PROTOCOL PORT SERVER`.

mod checks;
mod fred;
mod redis_cluster;
mod redis_rs;
mod redis_sentinel;
mod rustis;

use std::env;

use crate::checks::Server;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = env::args().collect();
    let [_, client, protocol, port, server] = words.as_slice() else {
        panic!("rust-clients CLIENT PROTOCOL PORT SERVER")
    };
    let (resp3, is_redis) = (protocol == "3", server == "balancer");
    let server = Server { resp3, port: port.parse().expect("a port"), is_redis };
    match client.as_str() {
        "redis-rs" => checks::run::<redis_rs::Client>(server).await,
        "redis-rs cluster" => redis_cluster::run(server).await,
        "redis-rs sentinel" => redis_sentinel::run(server).await,
        "fred" => checks::run::<fred::Client>(server).await,
        "rustis" => checks::run::<rustis::Client>(server).await,
        _ => panic!("there is no client {client}"),
    }
}
