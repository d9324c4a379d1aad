//! Many clients add events while the test kills the process again and again.

use std::{path::Path, thread, time::Duration};

use super::start;
use crate::support::{Folder, RawClient, Reply, kills, line, lines};

const WRITERS: usize = 50;

/// The highest number that a writer has sent, and the highest acknowledged one.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    acknowledged: i64,
    sent: i64,
}

#[test]
fn nothing_that_was_acknowledged_is_lost() {
    let folder = Folder::new();
    let mut progress = [Progress::default(); WRITERS];
    let mut last = String::new();
    for round in 0..kills(200) {
        collect_until_killed(folder.path(), &mut progress, round);
        last = check(folder.path(), &mut progress, round, &last);
    }
    assert!(progress.iter().map(|progress| progress.acknowledged).sum::<i64>() > 0);
}

fn collect_until_killed(folder: &Path, progress: &mut [Progress; WRITERS], round: usize) {
    let (process, _) = start(folder, &[]);
    let address = process.address().to_owned();
    thread::scope(|scope| {
        for (writer, progress) in progress.iter_mut().enumerate() {
            let client = RawClient::connect(&address);
            scope.spawn(move || collect(client, writer, progress));
        }
        thread::sleep(Duration::from_millis((round * 7 % 60) as u64));
        drop(process);
    });
}

/// The numbers divided by three that have this remainder are stored in a string with a deadline.
const WITH_DEADLINE: i64 = 1;

/// Adds the next number to the common stream and to the stream of the writer, and stores it in a string, in one
/// transaction.
fn collect(mut client: RawClient, writer: usize, progress: &mut Progress) {
    loop {
        let number = progress.acknowledged + 1;
        progress.sent = number;
        let deadline = if number % 3 == WITH_DEADLINE { "PX 15" } else { "" };
        let request = lines(&format!(
            "MULTI \n XADD all * writer {writer} number {number} \n XADD own:{writer} * number {number} \n \
             SET last:{writer} {number} {deadline} \n EXEC"
        ));
        if client.try_send(request).is_err() {
            return;
        }
        for _ in 0..5 {
            match client.try_reply() {
                Ok(reply) => assert!(!reply.starts_with(b"-"), "{reply:?}"),
                Err(_) => return,
            }
        }
        progress.acknowledged = number;
    }
}

/// Checks that both streams of each writer have all acknowledged numbers. The last number that was sent may be there too.
///
/// Returns the last id of the common stream.
fn check(folder: &Path, progress: &mut [Progress; WRITERS], round: usize, before: &str) -> String {
    let (_process, mut client) = start(folder, &[]);
    let from = if before.is_empty() { "-".to_owned() } else { format!("({before}") };
    let new = Reply::only(&client.ask(line(&format!("XRANGE all {from} +"))));
    let Some(Reply::Array(new)) = new else { panic!("{new:?}") };
    let mut last = before.to_owned();
    let (mut numbers, mut seen) = ([0; WRITERS], [0; WRITERS]);
    for event in &new {
        let (id, fields) = event_of(event);
        assert!(parts(&id) > parts(&last), "{id} after {last}");
        last = id;
        let [_, writer, _, number] = &fields[..] else { panic!("{fields:?}") };
        seen[writer.parse::<usize>().expect("a number")] = number.parse().expect("a number");
    }
    for (writer, progress) in progress.iter_mut().enumerate() {
        let own = Reply::only(&client.ask(line(&format!("XREVRANGE own:{writer} + - COUNT 1"))));
        let Some(Reply::Array(own)) = own else { panic!("{own:?}") };
        let number = own.first().map_or(0, |event| event_of(event).1[1].parse().expect("a number"));
        let context = format!("round {round}, writer {writer}: {number} after {progress:?}");
        assert!((progress.acknowledged..=progress.sent).contains(&number), "{context}");
        assert_eq!(
            Reply::only(&client.ask(line(&format!("XLEN own:{writer}")))),
            Some(Reply::Integer(number)),
            "{context}"
        );
        // A number is in both streams or in none.
        numbers[writer] = number;
        assert!(
            seen[writer] == 0 || seen[writer] == number,
            "half of a transaction: {context}, {}",
            seen[writer]
        );
        check_string(&mut client, writer, number);
        *progress = Progress { acknowledged: number, sent: number };
    }
    if round % 10 == 9 {
        // Meanwhile, the server removes all strings whose deadlines it knows.
        thread::sleep(Duration::from_millis(150));
        (0..WRITERS).for_each(|writer| check_string(&mut client, writer, numbers[writer]));
    }
    let total = Reply::only(&client.ask(line("XLEN all")));
    assert_eq!(total, Some(Reply::Integer(numbers.iter().sum())), "round {round}");
    last
}

/// Checks that the string of a writer has its last number, unless it has expired, and no older deadline.
fn check_string(client: &mut RawClient, writer: usize, number: i64) {
    let value = Reply::only(&client.ask(line(&format!("GET last:{writer}"))));
    let is_missing = value == Some(Reply::Null);
    let may_be_missing = number == 0 || number % 3 == WITH_DEADLINE;
    let is_right = value == Some(Reply::Bulk(number.to_string().into()));
    assert!(is_right || (is_missing && may_be_missing), "writer {writer}: {value:?} after {number}");
}

fn parts(id: &str) -> (u64, u64) {
    let (ms, seq) = id.split_once('-').unwrap_or(("0", "0"));
    (ms.parse().expect("a number"), seq.parse().expect("a number"))
}

fn event_of(event: &Reply) -> (String, Vec<String>) {
    let text = |reply: &Reply| match reply {
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?}"),
    };
    let Reply::Array(parts) = event else { panic!("{event:?}") };
    let [id, Reply::Array(fields)] = &parts[..] else { panic!("{parts:?}") };
    (text(id), fields.iter().map(text).collect())
}
