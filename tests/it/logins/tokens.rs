//! Clients of the `jwt` example log in with tokens that OpenSSL has signed.

use std::{
    fs,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::support::{Folder, Process, RawClient, binary, line};

const OK: &str = "+OK\r\n";
const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
const EXPIRED: &str = "-WRONGPASS the token has expired\r\n";
const INTERNAL: &str = "-ERR internal error\r\n";

/// Prints a token: `sh -c TOKEN ALGORITHM KEY CLAIMS`. Its public key is in `KEY.pub`.
const TOKEN: &str = r#"
url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
head=$(printf '{"alg":"%s"}' "$0" | url)
body=$(printf '%s' "$2" | url)
printf '%s.%s' "$head" "$body" >"$1.message"
case $0 in
EdDSA) openssl pkeyutl -sign -rawin -inkey "$1" -in "$1.message" ;;
RS256) openssl dgst -sha256 -sign "$1" "$1.message" ;;
HS256) openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(od -An -v -tx1 "$1.pub" | tr -d ' \n')" -binary "$1.message" ;;
esac >"$1.signature"
printf '%s.%s.%s' "$head" "$body" "$(url <"$1.signature")"
"#;

/// An issuer of tokens.
struct Issuer {
    algorithm: &'static str,
    key: String,
    _folder: Folder,
}

impl Issuer {
    /// Makes a key. `kind` is the kind in the words of `openssl genpkey`.
    fn new(algorithm: &'static str, kind: &str) -> Self {
        let folder = Folder::new();
        let key = folder.path().join("key").display().to_string();
        let make = format!(
            "openssl genpkey -algorithm {kind} -out '{key}' && openssl pkey -in '{key}' -pubout -out '{key}.pub'"
        );
        sh(&[&make]);
        Issuer { algorithm, key, _folder: folder }
    }

    fn all() -> [Self; 2] {
        [Self::new("EdDSA", "ed25519"), Self::new("RS256", "rsa -pkeyopt rsa_keygen_bits:2048")]
    }

    /// Starts the example with the public key of this issuer.
    fn serve(&self) -> Process {
        Process::program_with("jwt", &[&format!("{}.pub", self.key)])
    }

    fn token(&self, claims: &Value) -> String {
        self.token_with(self.algorithm, claims)
    }

    fn token_with(&self, algorithm: &str, claims: &Value) -> String {
        sh(&[TOKEN, algorithm, &self.key, &claims.to_string()])
    }
}

fn sh(arguments: &[&str]) -> String {
    let output = Command::new("sh").arg("-c").args(arguments).stdin(Stdio::null()).output();
    let output = output.expect("sh can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Returns a time in seconds since 1970.
fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    now.as_secs().cast_signed() + seconds
}

/// Returns the claims of a valid token, with these changes. `null` removes a claim.
fn claims(changes: Value) -> Value {
    let mut claims = json!({"sub": "alice", "aud": "visits", "scope": "read write", "exp": in_seconds(600)});
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    claims
}

#[test]
fn a_token_says_who_a_client_is_and_what_it_may_do() {
    let no_key = "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n";
    let no_visit = "-NOPERM this user has no permissions to run the 'visit' command\r\n";
    for issuer in Issuer::all() {
        let server = issuer.serve();
        let mut client = RawClient::connect(server.address());
        let writer = issuer.token(&claims(json!({})));
        let reader =
            issuer.token(&claims(json!({"sub": "bob", "scope": "read dance", "aud": ["shop", "visits"]})));
        for (request, reply) in [
            ("VISIT alice:a".to_owned(), "-NOAUTH Authentication required.\r\n"),
            (format!("AUTH alice {writer}"), OK),
            ("VISIT alice:a".to_owned(), ":1\r\n"),
            ("VISITS bob:a".to_owned(), no_key),
            (format!("AUTH {reader}"), OK),
            ("VISITS bob:a".to_owned(), ":0\r\n"),
            ("VISIT bob:a".to_owned(), no_visit),
        ] {
            assert_eq!(client.ask(line(&request)), reply, "{request}");
        }
    }
}

#[test]
fn other_tokens_are_refused() {
    for issuer in Issuer::all() {
        let server = issuer.serve();
        let valid = issuer.token(&claims(json!({})));
        let (signed, _) = valid.rsplit_once('.').expect("a signature");
        let (head, _) = signed.split_once('.').expect("claims");
        let (_, other_signature) =
            Issuer::all()[0].token(&claims(json!({}))).rsplit_once('.').map(own).expect("two parts");
        let (_, other_claims) =
            issuer.token(&claims(json!({"scope": "write"}))).split_once('.').map(own).expect("two parts");
        let (other_claims, _) = other_claims.split_once('.').expect("a signature");
        let (_, signature) = valid.rsplit_once('.').expect("a signature");
        let changed = |changes| issuer.token(&claims(changes));
        for (number, (user, token, reply)) in [
            ("alice", valid.clone(), OK),
            ("bob", valid.clone(), WRONG),
            ("alice", "nonsense".to_owned(), WRONG),
            ("alice", format!("{signed}."), WRONG),
            ("alice", format!("{signed}.{other_signature}"), WRONG),
            ("alice", format!("{head}.{other_claims}.{signature}"), WRONG),
            ("alice", changed(json!({"exp": in_seconds(-1)})), EXPIRED),
            ("alice", changed(json!({"exp": null})), WRONG),
            ("alice", changed(json!({"exp": "tomorrow"})), WRONG),
            ("alice", changed(json!({"nbf": in_seconds(600)})), WRONG),
            ("alice", changed(json!({"aud": "shop"})), WRONG),
            ("alice", changed(json!({"aud": null})), WRONG),
            ("alice", changed(json!({"scope": null})), WRONG),
            ("default", changed(json!({"sub": null})), WRONG),
            ("*", changed(json!({"sub": "*"})), INTERNAL),
            // The public key as a shared secret, and no signature at all.
            ("alice", issuer.token_with("HS256", &claims(json!({}))), WRONG),
            ("alice", issuer.token_with("none", &claims(json!({}))), WRONG),
        ]
        .into_iter()
        .enumerate()
        {
            // Another address each time, because failed logins delay others of their address.
            let mut client = RawClient::connect_from([127, 0, 0, number as u8 + 2], server.address());
            assert_eq!(client.ask(line(&format!("AUTH {user} {token}"))), reply, "{number}");
        }
    }
}

fn own((left, right): (&str, &str)) -> (String, String) {
    (left.to_owned(), right.to_owned())
}

#[test]
fn the_connection_ends_with_the_token() {
    let [issuer, _] = Issuer::all();
    let server = issuer.serve();
    let log_in = |client: &mut RawClient, token: &str| client.ask(line(&format!("AUTH alice {token}")));
    let [mut short, mut renewed] = [(); 2].map(|()| RawClient::connect(server.address()));
    let ends_soon = issuer.token(&claims(json!({"exp": in_seconds(3)})));
    // Its timer would fire first.
    assert_eq!(log_in(&mut renewed, &ends_soon), OK);
    assert_eq!(log_in(&mut short, &ends_soon), OK);
    assert_eq!(log_in(&mut renewed, &issuer.token(&claims(json!({})))), OK);
    assert_eq!(short.ask(line("VISIT alice:a")), ":1\r\n");
    assert_eq!(short.rest(), "");
    assert_eq!(renewed.ask(line("VISITS alice:a")), ":1\r\n");
    // An end beyond all time is none.
    let mut client = RawClient::connect(server.address());
    assert_eq!(log_in(&mut client, &issuer.token(&claims(json!({"exp": u64::MAX})))), OK);
    assert_eq!(client.ask(line("VISITS alice:a")), ":1\r\n");
}

#[test]
fn the_example_needs_a_public_key() {
    let folder = Folder::new();
    let file = folder.path().join("key.pem");
    fs::write(&file, "nonsense").expect("the file can be written");
    for (arguments, error) in [(vec![], "name the file of the public key"), (vec![file], "")] {
        let output = Command::new(binary("jwt")).args(arguments).output();
        let output = output.expect("the example can be started");
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).expect("text");
        assert!(text.contains(error), "{text}");
    }
}
