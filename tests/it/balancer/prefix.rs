//! A prefix for all keys, in front of several servers.

use super::{Three, crossing};
use crate::support::{Reply, line, lines};

#[test]
fn a_prefix_hides_the_keys_of_others_on_all_servers() {
    let three = Three::start(&["--prefix", "a:", "--threads", "2"]);
    (0..3).for_each(|server| drop(three.direct(server).ask(line("SET other x"))));
    let mut client = three.client();
    let keys: Vec<String> = (0..30).map(|number| format!("key{number}")).collect();
    let pairs: Vec<String> = keys.iter().map(|key| format!("{key} {key}")).collect();
    assert_eq!(client.ask(line(&format!("MSET {}", pairs.join(" ")))), "+OK\r\n");
    assert!(three.sizes().iter().all(|size| *size > 1));
    client.send(lines("DBSIZE \n MGET key0 key1 key2 other \n DEL other"));
    assert_eq!(client.replies(3), ":30\r\n*4\r\n$4\r\nkey0\r\n$4\r\nkey1\r\n$4\r\nkey2\r\n$-1\r\n:0\r\n");
    let (mut found, mut cursor) = (Vec::new(), "0".to_owned());
    loop {
        let reply = Reply::only(&client.ask(line(&format!("SCAN {cursor} COUNT 7"))));
        let Some(Reply::Array(elements)) = reply else { panic!("{reply:?}") };
        let [Reply::Bulk(next), Reply::Array(keys)] = &elements[..] else { panic!("{elements:?}") };
        found.extend(keys.iter().map(|key| match key {
            Reply::Bulk(key) => String::from_utf8_lossy(key).into_owned(),
            other => panic!("{other:?}"),
        }));
        cursor = String::from_utf8_lossy(next).into_owned();
        if cursor == "0" {
            break;
        }
    }
    let sorted = |mut keys: Vec<String>| {
        keys.sort();
        keys
    };
    assert_eq!(sorted(found), sorted(keys));
    assert!(client.ask(line("FLUSHALL")).starts_with(b"-NOPERM "));
}

#[test]
fn an_error_names_keys_without_the_prefix() {
    let three = Three::start(&["--prefix", "a:"]);
    let mut client = three.client();
    let [a, b, _] = three.keys_apart().map(|key| key.trim_start_matches("a:").to_owned());
    assert_eq!(client.ask(line(&format!("RENAME {a} {b}"))), crossing(&a, &b));
    for begin in ["WATCH", "GET"] {
        let requests =
            [format!("{begin} {a}"), "MULTI".to_owned(), format!("SET {a} 1"), format!("SET {b} 2")];
        let [.., last] = requests.map(|request| client.ask(line(&request)));
        assert_eq!(last, crossing(&a, &b));
        assert_eq!(client.ask(line("DISCARD")), "+OK\r\n");
    }
    client.send(lines(&format!("MULTI \n SET {a} 1 \n SET {b} 2 \n EXEC")));
    let replies = String::from_utf8_lossy(&client.replies(4)).into_owned();
    assert!(replies.contains(&crossing(&a, &b)), "{replies}");
}
