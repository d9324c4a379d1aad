//! Run with `cargo run -p jwt -- public.pem`, then log in with `redis-cli -p 6380 --user alice --pass TOKEN`.
//!
//! This example shows how clients log in with JWTs. Such a token says who a client is and what it may do, and has a
//! signature. So the server needs the public key of the issuer, and asks nobody. The key is an RSA or an Ed25519 key.
//!
//! A token has an end, and a connection can stay open for longer. So the connection of a client is closed when its token
//! ends, unless the client has logged in with a newer one. Client libraries connect again, and then get a new token.

mod verifier;

use std::{collections::HashMap, env, fs, io, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, errors::ErrorKind, get_current_timestamp};
use serde::Deserialize;
use thegiant::{Authenticate, Disconnected, Identity, actix::SpawnHandle, prelude::*};

/// The audience of the tokens: this service.
const AUDIENCE: &str = "visits";

/// Checks the tokens of clients.
struct Tokens {
    key: DecodingKey,
    validation: Validation,
    /// The timers at the ends of the tokens, by client.
    ends: HashMap<u64, SpawnHandle>,
}

/// The claims of a token. The crate has checked its end and its audience.
#[derive(Deserialize)]
struct Claims {
    /// The name of the user.
    sub: String,
    /// The permissions, separated by spaces: `read` and `write`.
    scope: String,
    /// The end, in seconds since 1970.
    exp: u64,
}

impl Tokens {
    /// Reads the public key of the issuer, in PEM.
    fn new(pem: &[u8]) -> Result<Self, jsonwebtoken::errors::Error> {
        let (key, algorithm) = match DecodingKey::from_ed_pem(pem) {
            Ok(key) => (key, Algorithm::EdDSA),
            Err(_) => (DecodingKey::from_rsa_pem(pem)?, Algorithm::RS256),
        };
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[AUDIENCE]);
        // Otherwise, the crate accepts a token without an audience.
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = 0;
        Ok(Tokens { key, validation, ends: HashMap::new() })
    }

    fn claims(&self, token: &[u8]) -> Result<Claims, Error> {
        let token = decode(token, &self.key, &self.validation);
        token.map(|token| token.claims).map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => Error::new("WRONGPASS", "the token has expired"),
            _ => Error::WRONG_PASSWORD,
        })
    }

    /// Closes the connection of a client at the end of its token.
    fn close_at(&mut self, end: u64, client: Client, context: &mut Context<Self>) {
        let id = client.id();
        let left = Duration::from_secs(end.saturating_sub(get_current_timestamp()));
        let timer = context.run_later(left, move |_, _| client.kill());
        if let Some(before) = self.ends.insert(id, timer) {
            context.cancel_future(before);
        }
    }
}

impl Actor for Tokens {
    type Context = Context<Self>;
}

impl Handler<Authenticate> for Tokens {
    type Result = Result<Identity, Error>;

    fn handle(&mut self, login: Authenticate, context: &mut Context<Self>) -> Self::Result {
        let claims = self.claims(login.password.as_bytes())?;
        // A password alone has no name.
        if login.user != claims.sub && login.user != "default" {
            return Err(Error::WRONG_PASSWORD);
        }
        let rules = rules(&claims)?;
        self.close_at(claims.exp, login.client, context);
        Ok(Identity::with_rules(claims.sub, rules))
    }
}

impl Handler<Disconnected> for Tokens {
    type Result = ();

    fn handle(&mut self, Disconnected(client): Disconnected, context: &mut Context<Self>) {
        if let Some(timer) = self.ends.remove(&client.id()) {
            context.cancel_future(timer);
        }
    }
}

/// Returns the rules of a user.
fn rules(claims: &Claims) -> Result<String, Error> {
    let name = &claims.sub;
    // A name with `*` would be a pattern for the keys of others.
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Error::internal(format!("the name {name:?} in a token is not one for rules")));
    }
    let mut rules = format!("~{name}:* +@connection");
    for scope in claims.scope.split(' ') {
        match scope {
            "read" => rules += " +@read",
            "write" => rules += " +@write",
            _ => {}
        }
    }
    Ok(rules)
}

/// Counts the visits of pages.
#[derive(Default)]
struct Visits(HashMap<Bytes, u64>);

impl Actor for Visits {
    type Context = Context<Self>;
}

#[commands]
impl Visits {
    /// Counts a visit, and returns the number of visits of the page.
    #[command("VISIT", write)]
    fn visit(&mut self, page: Key) -> u64 {
        let visits = self.0.entry(page.into()).or_default();
        *visits += 1;
        *visits
    }

    /// Returns the number of visits of a page.
    #[command("VISITS", readonly)]
    fn visits(&self, page: Key<&[u8]>) -> u64 {
        self.0.get(*page).copied().unwrap_or(0)
    }
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let mut arguments = env::args().skip(1);
    let file = arguments.next().ok_or_else(|| io::Error::other("name the file of the public key"))?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:6380".to_owned());
    verifier::install();
    let tokens = Tokens::new(&fs::read(file)?).map_err(io::Error::other)?;
    let app = || {
        let tokens = tokens.start();
        App::new().mount(Visits::default().start()).authenticate(tokens.clone()).on_disconnect(tokens)
    };
    let server = Server::new(app).bind(address)?;
    for address in server.addrs() {
        println!("listening on {address}");
    }
    server.run().await
}
