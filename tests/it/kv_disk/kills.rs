//! Many clients write while the test kills the process again and again.

use std::{path::Path, thread, time::Duration};

use super::{ENGINES, start};
use crate::support::{Folder, RawClient, Reply, kills, line, lines};

const WRITERS: usize = 50;
/// How often the process is killed on the same data. Each start reads all writes again that `lsm` has not sorted yet, so
/// the processor time grows with the square of this number.
const KILLS_PER_FOLDER: usize = 10;

/// The numbers divided by three that have this remainder are written with deadlines.
const WITH_DEADLINES: i64 = 1;

/// The highest acknowledged number of a writer, and the number that it has sent last.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    acknowledged: i64,
    sent: i64,
}

#[test]
fn nothing_that_was_acknowledged_is_lost() {
    for engine in ENGINES {
        let mut total = 0;
        for first in (0..kills(100)).step_by(KILLS_PER_FOLDER) {
            let folder = Folder::new();
            let mut progress = [Progress::default(); WRITERS];
            for round in first..kills(100).min(first + KILLS_PER_FOLDER) {
                write_until_killed(engine, folder.path(), &mut progress, round);
                check(engine, folder.path(), &mut progress, round);
            }
            total += progress.iter().map(|progress| progress.acknowledged).sum::<i64>();
        }
        assert!(total > 0);
        println!("{engine}: killed {} times, {total} writes", kills(100));
    }
}

fn write_until_killed(engine: &str, folder: &Path, progress: &mut [Progress; WRITERS], round: usize) {
    let (process, _) = start(engine, folder, &[]);
    let address = process.address().to_owned();
    thread::scope(|scope| {
        for (writer, progress) in progress.iter_mut().enumerate() {
            let client = RawClient::connect(&address);
            scope.spawn(move || write(client, writer, progress));
        }
        // Some rounds end before the first write, others after many writes.
        thread::sleep(Duration::from_millis((round * 7 % 60) as u64));
        drop(process);
    });
}

/// Writes the next numbers until the connection ends. Each request changes several keys at once.
fn write(mut client: RawClient, writer: usize, progress: &mut Progress) {
    loop {
        let number = progress.acknowledged + 1;
        progress.sent = number;
        let request = match number % 3 {
            0 => lines(&format!(
                "MSET a:{writer} {number} b:{writer} {number} brief:{writer} {number} \n INCR count:{writer}"
            )),
            WITH_DEADLINES => lines(&format!(
                "MULTI \n SET a:{writer} {number} \n SET b:{writer} {number} EX 10000 \n \
                 SET brief:{writer} {number} PX 15 \n INCR count:{writer} \n EXEC"
            )),
            // The connection runs `PUBLISH` in the middle of the transaction.
            _ => lines(&format!(
                "MULTI \n SET a:{writer} {number} \n PUBLISH c m \n SET b:{writer} {number} \n \
                 SET brief:{writer} {number} \n INCR count:{writer} \n EXEC"
            )),
        };
        let replies = match number % 3 {
            0 => 2,
            WITH_DEADLINES => 6,
            _ => 7,
        };
        if client.try_send(request).is_err() {
            return;
        }
        for _ in 0..replies {
            match client.try_reply() {
                Ok(reply) => assert!(!reply.starts_with(b"-"), "{reply:?}"),
                Err(_) => return,
            }
        }
        progress.acknowledged = number;
    }
}

/// Checks that the keys of each writer have the acknowledged number, or the whole change that it has sent last.
fn check(engine: &str, folder: &Path, progress: &mut [Progress; WRITERS], round: usize) {
    let (_process, mut client) = start(engine, folder, &[]);
    for (writer, progress) in progress.iter_mut().enumerate() {
        let reply = client.ask(line(&format!("MGET a:{writer} b:{writer} count:{writer}")));
        let Some(Reply::Array(values)) = Reply::only(&reply) else { panic!("{reply:?}") };
        let numbers: Vec<i64> = values.iter().map(number).collect();
        let context = format!("{engine}, round {round}, writer {writer}: {numbers:?} after {progress:?}");
        assert!(numbers[0] == numbers[1], "half of a transaction: {context}");
        assert!((progress.acknowledged..=progress.sent).contains(&numbers[0]), "{context}");
        // Only the first of two pipelined commands may be on disk.
        let is_pipeline = progress.sent % 3 == 0 && numbers[0] == progress.sent;
        assert!(numbers[2] == numbers[0] || (is_pipeline && numbers[2] == numbers[0] - 1), "{context}");
        if numbers[2] != numbers[0] {
            client.ask(line(&format!("INCR count:{writer}")));
        }
        *progress = Progress { acknowledged: numbers[0], sent: numbers[0] };
    }
    if round % KILLS_PER_FOLDER == KILLS_PER_FOLDER - 1 {
        // Meanwhile, the server removes all keys whose deadlines it knows.
        thread::sleep(Duration::from_millis(150));
        let numbers = progress.map(|progress| progress.acknowledged);
        check_deadlines(&mut client, &numbers);
        check_counts(&mut client, &numbers);
    }
}

/// Checks that each key has the deadline of its last write, and no older one.
fn check_deadlines(client: &mut RawClient, numbers: &[i64; WRITERS]) {
    for (writer, number) in numbers.iter().enumerate().filter(|(_, number)| **number > 0) {
        let mut ask = |request: &str| Reply::only(&client.ask(line(&format!("{request}:{writer}"))));
        let replies = ["PTTL b", "GET brief", "PTTL brief"].map(|request| ask(request).expect("a reply"));
        let [Reply::Integer(long), brief, Reply::Integer(left)] = &replies else { panic!("{replies:?}") };
        let is_brief = *brief == Reply::Bulk(number.to_string().into());
        let is_right = match number % 3 {
            WITH_DEADLINES => *long > 0 && (*brief == Reply::Null || is_brief) && *left <= 15,
            _ => *long == -1 && is_brief && *left == -1,
        };
        assert!(is_right, "writer {writer}, number {number}: {replies:?}");
    }
}

/// Checks the numbers of keys and of deadlines, after all keys with a short deadline have expired.
fn check_counts(client: &mut RawClient, numbers: &[i64; WRITERS]) {
    let written = numbers.iter().filter(|number| **number > 0).count();
    let deadlines = numbers.iter().filter(|number| **number % 3 == WITH_DEADLINES).count();
    let info = client.ask(line("INFO keyspace"));
    let expected = format!("db0:keys={},expires={deadlines},", 4 * written - deadlines);
    let text = String::from_utf8_lossy(&info);
    assert!(written == 0 || text.contains(&expected), "{expected} {text}");
}

fn number(value: &Reply) -> i64 {
    match value {
        Reply::Null => 0,
        Reply::Bulk(digits) => String::from_utf8_lossy(digits).parse().expect("a number"),
        other => panic!("{other:?}"),
    }
}
