//! Increments keys in turn with the cluster client of redis-rs: `count CLIENT PORT COUNTS KEYS`.

use std::env;

use redis::{AsyncCommands, cluster::ClusterClient};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let words: Vec<String> = env::args().collect();
    let [_, _, port, counts, keys] = words.as_slice() else { panic!("count CLIENT PORT COUNTS KEYS") };
    let counts: u64 = counts.parse().expect("a number of increments");
    let keys: u64 = keys.parse().expect("a number of keys");
    let client = ClusterClient::new([format!("redis://127.0.0.1:{port}")]).expect("the settings are valid");
    let mut connection = client.get_async_connection().await.expect("the server answers");
    let (mut counted, mut errors) = (0, 0);
    for number in 0..counts {
        match connection.incr::<_, _, u64>(format!("key-{}", number % keys), 1).await {
            Ok(_) => counted += 1,
            Err(error) => {
                errors += 1;
                println!("{error}");
            }
        }
    }
    let version = include_str!("../../Cargo.lock").split("name = \"redis\"\nversion = \"").nth(1);
    println!("version {}", version.and_then(|rest| rest.split('"').next()).unwrap_or("?"));
    println!("counted {counted}");
    println!("errors {errors}");
}
