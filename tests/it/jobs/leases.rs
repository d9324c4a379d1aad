//! Jobs that workers have taken, and that return to their queue.

use super::{add, add_and_take, connected, id_in, job, jobs, start, stat, wait_for_workers};
use crate::support::{RawClient, eventually, line, lines};

#[test]
fn jobs_of_a_lost_worker_return_to_the_head_of_the_queue_in_order() {
    let server = start();
    let disconnections: [fn(RawClient); 2] = [drop, RawClient::reset];
    for disconnect in disconnections {
        let (mut client, mut worker) = (connected(&server), connected(&server));
        let ids: Vec<String> = (0..4).map(|number| add(&mut client, &format!("q {number}"))).collect();
        worker.ask(line("GETJOB COUNT 3 FROM q"));
        disconnect(worker);
        eventually(|| (client.ask(line("QLEN q")) == ":4\r\n").then_some(()));
        let all =
            [0, 1, 2, 3].map(|number| job("q", &ids[number], &number.to_string(), u32::from(number < 3)));
        assert_eq!(client.ask(line("GETJOB COUNT 9 FROM q")), jobs(all));
        client.ask(line(&format!("ACKJOB {}", ids.join(" "))));
    }
}

#[test]
fn a_job_of_a_lost_worker_goes_to_a_blocked_worker_at_once() {
    let server = start();
    let (mut client, mut first, mut second) = (connected(&server), connected(&server), connected(&server));
    let id = add(&mut client, "q a");
    first.ask(line("GETJOB FROM q"));
    second.send(line("GETJOB FROM q"));
    wait_for_workers(&mut client, 1);
    drop(first);
    assert_eq!(second.reply(), jobs([job("q", &id, "a", 1)]));
}

#[test]
fn a_job_returns_after_its_retry_time() {
    let server = start();
    let mut client = connected(&server);
    let id = add(&mut client, "q a RETRY 30");
    for tries in 0..3 {
        assert_eq!(client.ask(line("GETJOB FROM q")), jobs([job("q", &id, "a", tries)]));
    }
    assert_eq!(client.ask(line(&format!("ACKJOB {id}"))), ":1\r\n");
    assert_eq!(client.ask(line("GETJOB TIMEOUT 60 FROM q")), "$-1\r\n");
}

#[test]
fn a_job_moves_to_the_dead_queue_after_its_last_try() {
    let server = start();
    let mut client = connected(&server);
    let id = add(&mut client, "q a MAXTRIES 2");
    for tries in 0..2 {
        assert_eq!(client.ask(line("GETJOB FROM q")), jobs([job("q", &id, "a", tries)]));
        assert_eq!(client.ask(line(&format!("NACK {id}"))), ":1\r\n");
    }
    assert_eq!(client.ask(line(&format!("NACK {id}"))), ":0\r\n");
    assert_eq!((client.ask(line("QLEN q")), stat(&mut client, "q", "dead")), (":0\r\n".into(), 1));
    assert_eq!(id_in(&client.ask(line("GETJOB FROM dead:q"))), id);
    client.ask(line(&format!("NACK {id}")));
    assert_eq!(client.ask(line("GETJOB FROM dead:q")), jobs([job("dead:q", &id, "a", 3)]));
}

#[test]
fn dead_jobs_do_not_expire_but_returned_jobs_do() {
    let server = start();
    let mut client = connected(&server);
    let [dead, late] = add_and_take(&mut client, ["q a TTL 20 MAXTRIES 1", "q b TTL 20"], "q");
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(client.ask(line(&format!("NACK {dead} {late}"))), ":2\r\n");
    assert_eq!(stat(&mut client, "q", "expired"), 1);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(client.ask(line("GETJOB NOHANG FROM q dead:q")), jobs([job("dead:q", &dead, "a", 1)]));
}

#[test]
fn a_worker_can_extend_its_lease() {
    let server = start();
    let (mut client, mut worker, mut other) = (connected(&server), connected(&server), connected(&server));
    let id = add(&mut client, "q a RETRY 200");
    worker.send(lines(&format!("GETJOB FROM q \n WORKING {id} 100000")));
    assert_eq!(worker.replies(2), format!("{}:100000\r\n", jobs([job("q", &id, "a", 0)])));
    assert_eq!(other.ask(line("GETJOB TIMEOUT 300 FROM q")), "$-1\r\n");
    assert_eq!(other.ask(line(&format!("WORKING {id}"))), NO_JOB);
    // Without a time, it is the retry time of the job.
    assert_eq!(worker.ask(line(&format!("WORKING {id}"))), ":200\r\n");
    assert_eq!(other.ask(line("GETJOB FROM q")), jobs([job("q", &id, "a", 1)]));
    assert_eq!(worker.ask(line(&format!("WORKING {id} 100000"))), NO_JOB);
    assert_eq!(client.ask(line(&format!("ACKJOB {id}"))), ":1\r\n");
    assert_eq!(other.ask(line(&format!("WORKING {id} 100000"))), NO_JOB);
}

#[test]
fn a_lease_without_limit_can_get_one() {
    let server = start();
    let (mut worker, mut other) = (connected(&server), connected(&server));
    let id = add(&mut worker, "q a");
    assert_eq!(worker.ask(line(&format!("WORKING {id} 5"))), NO_JOB, "no worker has it");
    worker.ask(line("GETJOB FROM q"));
    assert_eq!(worker.ask(line(&format!("WORKING {id}"))), ":0\r\n");
    other.send(line("GETJOB FROM q"));
    wait_for_workers(&mut worker, 1);
    assert_eq!(worker.ask(line(&format!("WORKING {id} 5"))), ":5\r\n");
    assert_eq!(other.reply(), jobs([job("q", &id, "a", 1)]));
}

#[test]
fn a_job_can_return_after_a_delay() {
    let server = start();
    let mut client = connected(&server);
    let (first, second) = (add(&mut client, "q a"), add(&mut client, "q b"));
    client.ask(line("GETJOB COUNT 2 FROM q"));
    assert_eq!(client.ask(line(&format!("NACK DELAY 100000 {first} nonsense"))), ":1\r\n");
    assert_eq!(client.ask(line(&format!("NACK DELAY 20 {second}"))), ":1\r\n");
    assert_eq!(client.ask(line("GETJOB FROM q")), jobs([job("q", &second, "b", 1)]));
    assert_eq!(client.ask(line("GETJOB NOHANG FROM q")), "$-1\r\n");
    assert_eq!((stat(&mut client, "q", "delayed"), stat(&mut client, "q", "requeued")), (1, 2));
    let late = "-ERR DELAY and its time belong before the ids\r\n";
    assert_eq!(client.ask(line(&format!("NACK {second} DELAY 20"))), late);
    assert_eq!(stat(&mut client, "q", "out"), 1);
}

#[test]
fn a_job_that_fails_again_and_again_waits_for_its_back_off() {
    let server = start();
    let mut client = connected(&server);
    let (poison, other) = (add(&mut client, "q poison"), add(&mut client, "q other"));
    for tries in 0..10 {
        assert_eq!(client.ask(line("GETJOB FROM q")), jobs([job("q", &poison, "poison", tries)]));
        assert_eq!(client.ask(line(&format!("NACK DELAY 0 {poison}"))), ":1\r\n");
    }
    client.ask(line("GETJOB FROM q"));
    assert_eq!(client.ask(line(&format!("NACK {poison}"))), ":1\r\n");
    assert_eq!(client.ask(line("GETJOB COUNT 2 FROM q")), jobs([job("q", &other, "other", 0)]));
    assert_eq!(stat(&mut client, "q", "delayed"), 1);
}

#[test]
fn a_job_that_kills_its_workers_does_not_stop_its_queue() {
    let server = start();
    let mut client = connected(&server);
    let (poison, other) = (add(&mut client, "q poison"), add(&mut client, "q other"));
    for tries in 0..2 {
        let mut worker = connected(&server);
        assert_eq!(worker.ask(line("GETJOB FROM q")), jobs([job("q", &poison, "poison", tries)]));
        drop(worker);
        eventually(|| (stat(&mut client, "q", "out") == 0).then_some(()));
    }
    assert_eq!(client.ask(line("GETJOB FROM q")), jobs([job("q", &other, "other", 0)]));
    assert_eq!(client.ask(line("GETJOB FROM q")), jobs([job("q", &poison, "poison", 2)]));
}

#[test]
fn the_result_of_an_earlier_try_is_refused() {
    let server = start();
    let (mut caller, mut first, mut second) = (connected(&server), connected(&server), connected(&server));
    for (command, reply) in [("REPLYJOB", "$6\r\nresult\r\n"), ("FAILJOB", "-JOBFAILED result\r\n")] {
        let command = |id: &str, result: &str| line(&format!("{command} {id} {result}"));
        caller.send(line("CALLJOB q body 100000"));
        let id = id_in(&first.ask(line("GETJOB FROM q")));
        // The lease of the first worker ends.
        first.ask(line(&format!("WORKING {id} 1")));
        assert_eq!(second.ask(line("GETJOB FROM q")), jobs([job("q", &id, "body", 1)]));
        assert_eq!(first.ask(command(&id, "late TRY 0")), "-OLDTRY this try of the job is over\r\n");
        assert_eq!(first.ask(line(&format!("GETJOB REPLY {id} late TRY 0 NOHANG FROM q"))), "$-1\r\n");
        assert_eq!(stat(&mut first, "q", "out"), 1);
        assert_eq!(second.ask(command(&id, "result TRY 1")), ":1\r\n");
        assert_eq!(caller.reply(), reply);
        // The job has ended, so this result is not the first.
        assert_eq!(first.ask(command(&id, "late TRY 0")), ":0\r\n");
    }
    caller.send(line("CALLJOB q body 100000"));
    let id = id_in(&first.ask(line("GETJOB FROM q")));
    assert_eq!(first.ask(line(&format!("GETJOB TRY 0 NOHANG REPLY {id} result FROM q"))), "$-1\r\n");
    assert_eq!(caller.reply(), "$6\r\nresult\r\n");
}

#[test]
fn dead_jobs_can_go_back_to_their_queue() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected(&server));
    let ids: Vec<String> = (0..3).map(|number| add(&mut client, &format!("q {number} MAXTRIES 1"))).collect();
    assert_eq!(client.ask(line("REDRIVE q")), ":0\r\n");
    // A job that a producer has added to the queue of dead jobs belongs there.
    let other = add(&mut client, "dead:q other");
    client.ask(line("GETJOB COUNT 3 FROM q"));
    assert_eq!(client.ask(line(&format!("NACK {}", ids.join(" ")))), ":3\r\n");
    worker.send(line("GETJOB FROM q"));
    wait_for_workers(&mut client, 1);
    assert_eq!(client.ask(line("REDRIVE q COUNT 1")), ":1\r\n");
    assert_eq!(worker.reply(), jobs([job("q", &ids[0], "0", 1)]));
    assert_eq!(client.ask(line("REDRIVE q")), ":2\r\n");
    assert_eq!(client.ask(line("GETJOB COUNT 9 FROM dead:q")), jobs([job("dead:q", &other, "other", 0)]));
    let both = [job("q", &ids[1], "1", 1), job("q", &ids[2], "2", 1)];
    assert_eq!(client.ask(line("GETJOB COUNT 9 FROM q")), jobs(both));
    // The limit on tries counts again from the beginning.
    assert_eq!(client.ask(line(&format!("NACK {}", ids[1]))), ":1\r\n");
    assert_eq!(client.ask(line("GETJOB NOHANG FROM dead:q")), jobs([job("dead:q", &ids[1], "1", 2)]));
    let fields = ["ready", "out", "dead"].map(|field| stat(&mut client, "q", field));
    assert_eq!(fields, [0, 2, 4]);
}

const NO_JOB: &str = "-NOJOB this connection does not have the job\r\n";
