//! How far a group has read, after events were removed: the rules of Redis 7.4.

use super::start;
use crate::support::{Folder, RawClient, Reply, line, lines};

const FIVE: &str = "XADD s 1-0 a b \n XADD s 2-0 a b \n XADD s 3-0 a b \n XADD s 4-0 a b \n XADD s 5-0 a b";
const READ_ONE: &str = "XREADGROUP GROUP g c COUNT 1 STREAMS s >";
const READ_ALL: &str = "XREADGROUP GROUP g c STREAMS s >";

/// A command, and the counts after it.
type Step = (&'static str, Option<i64>, Option<i64>);

/// Returns `entries-read` and `lag` of the only group.
fn counts(client: &mut RawClient) -> [Option<i64>; 2] {
    let groups = Reply::only(&client.ask(line("XINFO GROUPS s")));
    let Some(Reply::Array(groups)) = groups else { panic!("{groups:?}") };
    let [Reply::Array(fields)] = &groups[..] else { panic!("{groups:?}") };
    ["entries-read", "lag"].map(|name| {
        let field = fields.chunks(2).find(|field| field[0] == Reply::Bulk(name.into()));
        match field.map(|field| &field[1]) {
            Some(Reply::Integer(count)) => Some(*count),
            Some(Reply::Null) => None,
            other => panic!("{name}: {other:?}"),
        }
    })
}

#[test]
fn the_lag_is_right_after_events_were_removed() {
    let folder = Folder::new();
    let (_process, mut client) = start(folder.path(), &[]);
    let cases: [(&str, &[Step]); 8] = [
        (
            "trimmed beyond the group",
            &[
                (READ_ONE, Some(1), Some(4)),
                ("XTRIM s MAXLEN 1", Some(1), Some(1)),
                (READ_ALL, Some(5), Some(0)),
                (READ_ALL, Some(5), Some(0)),
                ("XADD s 6-0 a b", Some(5), Some(1)),
            ],
        ),
        (
            "trimmed, then read one by one",
            &[
                ("XTRIM s MINID 3", Some(0), Some(3)),
                (READ_ONE, Some(3), Some(2)),
                (READ_ONE, Some(4), Some(1)),
                ("XADD s MAXLEN 1 6-0 a b", Some(4), Some(1)),
                (READ_ONE, Some(6), Some(0)),
            ],
        ),
        (
            "trimmed behind the group",
            &[
                ("XREADGROUP GROUP g c COUNT 3 STREAMS s >", Some(3), Some(2)),
                ("XTRIM s MAXLEN 3", Some(3), Some(2)),
                (READ_ONE, Some(4), Some(1)),
            ],
        ),
        (
            "trimmed to nothing",
            &[
                (READ_ONE, Some(1), Some(4)),
                ("XTRIM s MAXLEN 0", Some(1), Some(0)),
                ("XADD s 6-0 a b", Some(1), Some(1)),
                (READ_ALL, Some(6), Some(0)),
            ],
        ),
        (
            "the first events are removed",
            &[
                ("XDEL s 1-0 2-0", Some(0), Some(3)),
                (READ_ONE, Some(3), Some(2)),
                (READ_ALL, Some(5), Some(0)),
            ],
        ),
        (
            "an event ahead is removed",
            &[
                (READ_ONE, Some(1), Some(4)),
                ("XDEL s 3-0", Some(1), None),
                (READ_ONE, None, None),
                (READ_ALL, Some(5), Some(0)),
            ],
        ),
        (
            "all that was read and one more is removed",
            &[
                (READ_ONE, Some(1), Some(4)),
                ("XDEL s 1-0 2-0", Some(1), Some(3)),
                (READ_ONE, Some(3), Some(2)),
            ],
        ),
        (
            "an event ahead is removed, then trimmed beyond it",
            &[
                (READ_ONE, Some(1), Some(4)),
                ("XDEL s 3-0", Some(1), None),
                ("XTRIM s MAXLEN 2", Some(1), Some(2)),
                (READ_ONE, Some(4), Some(1)),
            ],
        ),
    ];
    for (name, steps) in cases {
        client.send(lines(&format!("DEL s \n XGROUP CREATE s g $ MKSTREAM ENTRIESREAD 0 \n {FIVE}")));
        client.replies(7);
        for (step, read, lag) in steps {
            client.ask(line(step));
            assert_eq!(counts(&mut client), [*read, *lag], "{name}: {step}");
        }
    }
    // Redis does not count events between a removed one and the last one.
    client.send(lines(&format!("DEL s \n {FIVE} \n XDEL s 3-0 \n XGROUP CREATE s g 2-0")));
    client.replies(8);
    assert_eq!(counts(&mut client), [None, None]);
    client.ask(line(READ_ALL));
    assert_eq!(counts(&mut client), [Some(5), Some(0)]);
}

/// A group that a stream has been trimmed beyond catches up, with the default of `XGROUP CREATE`.
#[test]
fn a_group_of_a_trimmed_stream_catches_up() {
    let folder = Folder::new();
    let (process, mut client) = start(folder.path(), &[]);
    client.send(lines(&format!("XGROUP CREATE s g $ MKSTREAM \n {FIVE} \n {READ_ONE} \n XTRIM s MAXLEN 1")));
    client.replies(8);
    assert_eq!(counts(&mut client), [Some(1), Some(1)]);
    client.ask(line(READ_ALL));
    assert_eq!(counts(&mut client), [Some(5), Some(0)]);
    drop(process);
    let (_process, mut client) = start(folder.path(), &[]);
    assert_eq!(counts(&mut client), [Some(5), Some(0)]);
}
