//! Run with `cargo run --release -p hello`: a function as the whole application.

use std::collections::HashMap;

use thegiant::prelude::*;

#[actix::main]
async fn main() {
    let mut values: HashMap<Vec<u8>, Bytes> = HashMap::new();
    let app = App::new().fallback(move |call: &Call| {
        let args: Vec<&[u8]> = call.args().collect();
        match args[..] {
            [key, value] if call.is("SET") => {
                values.insert(key.to_vec(), Bytes::copy_from_slice(value));
                Ok(Value::Simple("OK".into()))
            }
            [key] if call.is("GET") => Ok(values.get(key).cloned().map_or(Value::Null, Value::Bulk)),
            [] if call.is("WHOAMI") => Ok(Value::bulk(call.client().addr().to_string())),
            _ => Err(call.unknown_command()),
        }
    });
    cli::serve(app).await;
}
