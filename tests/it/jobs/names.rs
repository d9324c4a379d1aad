//! Jobs with names, and results that are kept.

use super::{add, connected, id_in, job, jobs, start, stat};
use crate::support::{RawClient, eventually, line};

/// Waits until the server has noticed that a client has disconnected.
fn disconnect(client: RawClient, observer: &mut RawClient) {
    let address = client.local_address();
    drop(client);
    eventually(|| {
        let list = observer.ask(line("CLIENT LIST"));
        (!list.windows(address.len()).any(|part| part == address.as_bytes())).then_some(())
    });
}

#[test]
fn calls_with_the_same_name_share_one_run() {
    let server = start();
    let (mut first, mut second, mut worker) = (connected(&server), connected(&server), connected(&server));
    first.send(line("CALLJOB q body 100000 ID pay:7"));
    eventually(|| (worker.ask(line("QLEN q")) == ":1\r\n").then_some(()));
    let shown = worker.ask(line("QPEEK q 1"));
    let id = id_in(&shown);
    // It joins the job while it is in the queue, or while it runs.
    second.send(line("CALLJOB q body 100000 ID pay:7"));
    assert_eq!(id_in(&worker.ask(line("GETJOB FROM q"))), id);
    eventually(|| is_waiting(&mut worker, &second).then_some(()));
    assert_eq!(worker.ask(line(&format!("REPLYJOB {id} done"))), ":1\r\n");
    assert_eq!(first.reply(), "$4\r\ndone\r\n");
    assert_eq!(second.reply(), "$4\r\ndone\r\n");
    // The result is kept.
    assert_eq!(first.ask(line("CALLJOB q body 100000 ID pay:7")), "$4\r\ndone\r\n");
    assert_eq!(add(&mut first, "q body ID pay:7"), id);
    assert_eq!(first.ask(line(&format!("RESULT {id}"))), "$4\r\ndone\r\n");
    assert_eq!(stat(&mut worker, "q", "added"), 1);
    // The name belongs to the queue.
    assert_ne!(add(&mut first, "other body ID pay:7"), id);
}

/// Returns whether `CLIENT LIST` shows a client as blocked.
fn is_waiting(observer: &mut RawClient, client: &RawClient) -> bool {
    let list = String::from_utf8_lossy(&observer.ask(line("CLIENT LIST"))).into_owned();
    let address = format!("addr={} ", client.local_address());
    let found = list.lines().find(|line| line.contains(&address));
    found.is_some_and(|line| line.contains("cmd=calljob") && line.contains("flags=b"))
}

#[test]
fn a_repeated_call_after_a_disconnect_gets_the_result_of_the_first() {
    let server = start();
    let (mut first, mut again, mut worker) = (connected(&server), connected(&server), connected(&server));
    first.send(line("CALLJOB q body 100000 ID a"));
    let id = id_in(&worker.ask(line("GETJOB FROM q")));
    disconnect(first, &mut worker);
    again.send(line("CALLJOB q body 100000 ID a"));
    eventually(|| is_waiting(&mut worker, &again).then_some(()));
    assert_eq!(worker.ask(line(&format!("FAILJOB {id} reason"))), ":1\r\n");
    assert_eq!(again.reply(), "-JOBFAILED reason\r\n");
    // The result is the same when the job ends between both calls.
    assert_eq!(again.ask(line("CALLJOB q body 100000 ID a")), "-JOBFAILED reason\r\n");
    assert_eq!((stat(&mut worker, "q", "added"), stat(&mut worker, "q", "ready")), (1, 0));
}

#[test]
fn a_job_stays_while_any_of_its_callers_waits() {
    let server = start();
    let (mut first, mut second, mut worker) = (connected(&server), connected(&server), connected(&server));
    first.send(line("CALLJOB q body 100000 ID a"));
    eventually(|| (worker.ask(line("QLEN q")) == ":1\r\n").then_some(()));
    second.send(line("CALLJOB q body 0 ID a"));
    eventually(|| is_waiting(&mut worker, &second).then_some(()));
    disconnect(first, &mut worker);
    assert_eq!(worker.ask(line("QLEN q")), ":1\r\n");
    disconnect(second, &mut worker);
    eventually(|| (stat(&mut worker, "q", "expired") == 1).then_some(()));
    // A producer that waits for no result keeps it, too.
    let mut first = connected(&server);
    first.send(line("CALLJOB q body 100000 ID a"));
    eventually(|| (worker.ask(line("QLEN q")) == ":1\r\n").then_some(()));
    let id = add(&mut worker, "q body ID a");
    disconnect(first, &mut worker);
    assert_eq!(worker.ask(line("GETJOB NOHANG FROM q")), jobs([job("q", &id, "body", 0)]));
}

#[test]
fn a_name_ends_with_its_job_or_with_its_result() {
    let server = start();
    let mut client = connected(&server);
    let first = add(&mut client, "q body ID a");
    assert_eq!(add(&mut client, "q body ID a MAXLEN 1"), first, "it adds no job to the full queue");
    // The job is deleted.
    assert_eq!(client.ask(line(&format!("DELJOB {first}"))), ":1\r\n");
    let second = add(&mut client, "q body ID a KEEP 5 MAXTRIES 2");
    assert_ne!(second, first);
    // The time of the result is over.
    client.ask(line("GETJOB FROM q"));
    assert_eq!(client.ask(line(&format!("ACKJOB {second}"))), ":1\r\n");
    eventually(|| (client.ask(line(&format!("RESULT {second}"))) == "$-1\r\n").then_some(()));
    let third = add(&mut client, "q body ID a MAXTRIES 1");
    assert_ne!(third, second);
    // The job is dead.
    client.ask(line("GETJOB FROM q"));
    client.ask(line(&format!("NACK {third}")));
    let fourth = add(&mut client, "q body ID a");
    assert_ne!(fourth, third);
    // The result is deleted.
    client.ask(line(&format!("ACKJOB {fourth}")));
    assert_eq!(add(&mut client, "q body ID a"), fourth);
    assert_eq!(client.ask(line(&format!("DELJOB {fourth} {fourth}"))), ":1\r\n");
    assert_ne!(add(&mut client, "q body ID a"), fourth);
}

#[test]
fn a_result_is_kept_if_the_producer_asks() {
    let server = start();
    let mut client = connected(&server);
    let (kept, other) = (add(&mut client, "q a KEEP 100000"), add(&mut client, "q b"));
    assert_eq!(client.ask(line(&format!("RESULT {kept}"))), "$-1\r\n");
    assert_eq!(client.ask(line(&format!("REPLYJOB {kept} one"))), ":0\r\n", "no caller waits");
    client.ask(line(&format!("REPLYJOB {other} two")));
    for _ in 0..2 {
        assert_eq!(client.ask(line(&format!("RESULT {kept}"))), "$3\r\none\r\n");
    }
    assert_eq!(client.ask(line(&format!("RESULT {other}"))), "$-1\r\n");
    assert_eq!(client.ask(line("RESULT nonsense")), "$-1\r\n");
}
