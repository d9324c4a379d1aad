//! Instances that each cache the keys of their slots.

use std::fs;

use thegiant::slot;

use super::Database;
use crate::support::{Folder, line};

#[test]
fn an_instance_caches_the_keys_of_its_slots() {
    let database = Database::Sqlite(Folder::new());
    let folder = Folder::new();
    let file = folder.path().join("topology");
    fs::write(&file, "version 1\na :1 0-8191\nb 10.0.0.2:6380 8192-16383\n").expect("it can be written");
    let (_process, mut client) =
        database.serve(&["--cluster-topology", &file.display().to_string(), "--cluster-node", "a"]);
    let key = |is_own: bool| {
        let keys = (0..).map(|number| format!("key{number}"));
        { keys }.find(|key| (slot(key.as_bytes()) < 8192) == is_own).expect("each half has keys")
    };
    let (own, other) = (key(true), key(false));
    assert_eq!(client.ask(line(&format!("SET {own} value"))), "+OK\r\n");
    assert_eq!(client.ask(line(&format!("GET {own}"))), "$5\r\nvalue\r\n");
    let moved = format!("-MOVED {} 10.0.0.2:6380\r\n", slot(other.as_bytes()));
    assert_eq!(client.ask(line(&format!("GET {other}"))), moved);
}
