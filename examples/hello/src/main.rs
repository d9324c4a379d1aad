//! Run with `cargo run -p hello`, then try `redis-cli -p 6380 SET greeting hello`.
//!
//! This example shows the smallest server: one function that answers every command.

use std::{collections::HashMap, env, io};

use thegiant::prelude::*;

#[thegiant::main]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:6380".to_owned());
    let mut values: HashMap<Vec<u8>, Bytes> = HashMap::new();
    let app = App::new().fallback(move |request: &Request| {
        let args: Vec<&[u8]> = request.args().collect();
        match args[..] {
            [key, value] if request.is("SET") => {
                values.insert(key.to_vec(), Bytes::copy_from_slice(value));
                Ok(Value::Simple("OK".into()))
            }
            [key] if request.is("GET") => Ok(values.get(key).cloned().map_or(Value::Null, Value::Bulk)),
            [] if request.is("WHOAMI") => Ok(Value::bulk(request.client().addr().to_string())),
            _ => Err(request.unknown_command()),
        }
    });
    let server = Server::new(app).bind(address)?;
    for address in server.addrs() {
        println!("listening on {address}");
    }
    server.run().await
}
