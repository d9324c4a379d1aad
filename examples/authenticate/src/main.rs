//! Run with `cargo run -p authenticate -- 127.0.0.1:8080`, then log in with `redis-cli -p 6380 --user alice --pass TOKEN`.
//!
//! This example shows how clients log in with tokens that another server knows. That server answers `GET /userinfo` as OpenID
//! providers do: `{"sub": "alice", "role": "writer"}`, or status 401. It is asked once per login, and other clients do
//! not wait for it.

use std::{collections::HashMap, env, io, time::Duration};

use thegiant::{Authenticate, Identity, actix::clock::timeout, prelude::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Asks the HTTP server at this address.
struct Tokens {
    address: String,
}

impl Actor for Tokens {
    type Context = Context<Self>;
}

impl Handler<Authenticate> for Tokens {
    type Result = ResponseFuture<Result<Identity, Error>>;

    fn handle(&mut self, login: Authenticate, _: &mut Context<Self>) -> Self::Result {
        let address = self.address.clone();
        Box::pin(async move {
            // A line end in a token would begin another header.
            let is_token = |token: &&str| token.bytes().all(|byte| byte.is_ascii_graphic());
            let token = login.password.as_str().filter(is_token).ok_or(Error::WRONG_PASSWORD)?;
            let answer = timeout(Duration::from_secs(5), get(&address, token)).await;
            let answer = answer.map_err(Error::internal)?.map_err(Error::internal)?;
            let identity = identity(&answer)?;
            // A password alone has no name.
            if identity.name() == login.user || login.user == "default" {
                Ok(identity)
            } else {
                Err(Error::WRONG_PASSWORD)
            }
        })
    }
}

/// Returns the answer of the server to the question whose token this is. HTTP/1.0 has neither chunks nor a next request.
async fn get(address: &str, token: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET /userinfo HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Returns the user whom an answer describes, and what it may do.
fn identity(answer: &str) -> Result<Identity, Error> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| Error::internal("no HTTP answer"))?;
    match head.split(' ').nth(1) {
        Some("200") => {}
        Some("401") => return Err(Error::WRONG_PASSWORD),
        status => return Err(Error::internal(format!("unexpected status {status:?}"))),
    }
    let user: serde_json::Value = serde_json::from_str(body).map_err(Error::internal)?;
    // A name with `*` would be a pattern for the keys of others.
    let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let name = user["sub"].as_str().filter(is_name).ok_or_else(|| Error::internal("no name"))?;
    let commands = if user["role"] == "writer" { "+@read +@write" } else { "+@read" };
    Ok(Identity::with_rules(name, format!("~{name}:* {commands} +@connection")))
}

/// Notes of all users, each under keys of its own.
#[derive(Default)]
struct Notes(HashMap<Bytes, Bytes>);

impl Actor for Notes {
    type Context = Context<Self>;
}

#[commands]
impl Notes {
    /// Sets a note.
    #[command("SET", write)]
    fn set(&mut self, key: Key, text: Bytes) {
        self.0.insert(key.into(), text);
    }

    /// Returns a note.
    #[command("GET", readonly)]
    fn get(&self, key: Key<&[u8]>) -> Option<Bytes> {
        self.0.get(*key).cloned()
    }
}

fn app(address: String) -> App {
    App::new().mount(Notes::default().start()).authenticate(Tokens { address }.start())
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt::init();
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    Server::new(|| app(address)).bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests;
