//! A server with several threads, among which the queues are divided.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    thread,
};

use super::{add, bulk, connected, connected_with_resp3, id_in, job, jobs, stat, wait_for_workers};
use crate::support::{Process, RawClient, Reply, eventually, info, line, lines};

const THREADS: u16 = 4;
const CROSS_SLOT: &str = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";

fn start() -> Process {
    Process::program_with("jobs", &["--threads", &THREADS.to_string()])
}

/// Returns the name of a queue of each thread, in the order of the threads.
fn queues() -> Vec<String> {
    let mut queues = BTreeMap::new();
    for name in (0..).map(|number| format!("q{number}")) {
        queues.entry(thegiant::shard(name.as_bytes(), THREADS)).or_insert(name);
        if queues.len() == usize::from(THREADS) {
            break;
        }
    }
    queues.into_values().collect()
}

/// Returns the bodies of the jobs in a reply to `GETJOB`, and their ids.
fn delivered(reply: &[u8]) -> Vec<(String, String)> {
    let Some(Reply::Array(jobs)) = Reply::only(reply) else { panic!("the reply to GETJOB is {reply:?}") };
    let fields = |job: &Reply| match job {
        Reply::Array(fields) => (bulk(&fields[2]), bulk(&fields[1])),
        _ => panic!("{job:?} is no job"),
    };
    jobs.iter().map(fields).collect()
}

/// Returns an array of strings as a reply encodes it.
fn array(words: &[String]) -> String {
    let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), words.collect::<String>())
}

#[test]
fn each_job_is_delivered_to_one_worker() {
    const JOBS: usize = 100;
    let server = start();
    let names: Vec<String> = (0..8).map(|number| format!("queue{number}")).collect();
    let work = |queue: &str| {
        let mut worker = connected(&server);
        let mut bodies = Vec::new();
        loop {
            let given = delivered(&worker.ask(line(&format!("GETJOB COUNT 3 FROM {queue}"))));
            let is_over = given.iter().any(|(body, _)| body == "stop");
            for (body, id) in given {
                assert_eq!(worker.ask(line(&format!("ACKJOB {id}"))), ":1\r\n");
                bodies.push(body);
            }
            if is_over {
                return bodies;
            }
        }
    };
    let mut ids = BTreeSet::new();
    let done: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> =
            names.iter().flat_map(|queue| [queue, queue]).map(|queue| scope.spawn(|| work(queue))).collect();
        let mut producer = connected(&server);
        for number in 0..JOBS {
            for queue in &names {
                ids.insert(add(&mut producer, &format!("{queue} {queue}:{number}")));
            }
        }
        for queue in &names {
            // Each of both workers takes at most three jobs at once, and stops when it has seen one of these.
            (0..6).for_each(|_| drop(add(&mut producer, &format!("{queue} stop"))));
        }
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker does not fail")).collect()
    });
    assert_eq!(ids.len(), JOBS * names.len(), "an id names one job");
    let mut times: HashMap<String, usize> = HashMap::new();
    done.into_iter().filter(|body| body != "stop").for_each(|body| *times.entry(body).or_default() += 1);
    assert_eq!(times.len(), JOBS * names.len());
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

#[test]
fn commands_with_ids_reach_the_jobs_of_all_queues() {
    let server = start();
    let mut client = connected(&server);
    let queues = queues();
    let add_all = |client: &mut RawClient| -> Vec<String> {
        queues.iter().map(|queue| add(client, &format!("{queue} {queue}"))).collect()
    };
    let ids = add_all(&mut client);
    for (queue, id) in queues.iter().zip(&ids) {
        let shown = String::from_utf8_lossy(&client.ask(line(&format!("SHOW {id}")))).into_owned();
        assert!(shown.contains(&format!("\r\n{queue}\r\n")), "{shown}");
        assert_eq!(client.ask(line(&format!("GETJOB FROM {queue}"))), jobs([job(queue, id, queue, 0)]));
    }
    let all = ids.join(" ");
    assert_eq!(client.ask(line(&format!("NACK {all} nonsense"))), ":4\r\n");
    assert_eq!(client.ask(line(&format!("NACK {all}"))), ":0\r\n");
    for (queue, id) in queues.iter().zip(&ids) {
        assert_eq!(client.ask(line(&format!("GETJOB FROM {queue}"))), jobs([job(queue, id, queue, 1)]));
    }
    assert_eq!(client.ask(line(&format!("ACKJOB nonsense {all} {all}"))), ":4\r\n");
    assert_eq!(client.ask(line(&format!("ACKJOB {all}"))), ":0\r\n");
    let ids = add_all(&mut client);
    for (queue, id) in queues.iter().zip(&ids) {
        client.ask(line(&format!("GETJOB FROM {queue}")));
        assert_eq!(client.ask(line(&format!("WORKING {id} 100000"))), ":100000\r\n");
    }
    let all = ids.join(" ");
    assert_eq!(client.ask(line(&format!("NACK DELAY 100000 {all} nonsense"))), ":4\r\n");
    assert_eq!(client.ask(line(&format!("COMMAND GETKEYS NACK DELAY 5 {all}"))), array(&ids));
    assert_eq!(client.ask(line(&format!("COMMAND GETKEYS NACK {all}"))), array(&ids));
    assert_eq!(client.ask(line(&format!("DELJOB {all}"))), ":4\r\n");
    for queue in &queues {
        let fields = ["ready", "out", "done", "failed"].map(|field| stat(&mut client, queue, field));
        assert_eq!(fields, [0, 0, 1, 1]);
    }
}

#[test]
fn a_caller_gets_the_result_from_any_queue() {
    let server = start();
    for queue in queues() {
        let (mut caller, mut worker, mut other) =
            (connected(&server), connected(&server), connected(&server));
        caller.send(line(&format!("CALLJOB {queue} first 100000")));
        let id = id_in(&worker.ask(line(&format!("GETJOB FROM {queue}"))));
        worker.send(line(&format!("GETJOB REPLY {id} FROM FROM {queue}")));
        assert_eq!(caller.reply(), "$4\r\nFROM\r\n");
        caller.send(line(&format!("CALLJOB {queue} second 100000")));
        let id = id_in(&worker.reply());
        // Another connection, which another thread may serve, finishes the job.
        assert_eq!(other.ask(line(&format!("REPLYJOB {id} two"))), ":1\r\n");
        assert_eq!(caller.reply(), "$3\r\ntwo\r\n");
        caller.send(line(&format!("CALLJOB {queue} third 100000 ID name")));
        let id = id_in(&worker.ask(line(&format!("GETJOB FROM {queue}"))));
        assert_eq!(other.ask(line(&format!("FAILJOB {id} reason TRY 0"))), ":1\r\n");
        assert_eq!(caller.reply(), "-JOBFAILED reason\r\n");
        assert_eq!(other.ask(line(&format!("RESULT {id}"))), "-JOBFAILED reason\r\n");
        assert_eq!(other.ask(line(&format!("CALLJOB {queue} third 1 ID name"))), "-JOBFAILED reason\r\n");
    }
}

#[test]
fn the_jobs_of_a_lost_client_return_to_the_queues_of_all_threads() {
    let server = start();
    let (mut client, mut worker, mut caller) = (connected(&server), connected(&server), connected(&server));
    let queues = queues();
    let ids: Vec<String> = queues.iter().map(|queue| add(&mut client, &format!("{queue} body"))).collect();
    for (queue, id) in queues.iter().zip(&ids) {
        assert_eq!(id_in(&worker.ask(line(&format!("GETJOB FROM {queue}")))), *id);
    }
    // A lost worker, and a lost worker that waits.
    worker.send(line(&format!("GETJOB FROM {}", queues[1])));
    wait_for_workers(&mut client, 1);
    worker.reset();
    for (queue, id) in queues.iter().zip(&ids) {
        eventually(|| (stat(&mut client, queue, "ready") == 1).then_some(()));
        assert_eq!(client.ask(line(&format!("GETJOB FROM {queue}"))), jobs([job(queue, id, "body", 1)]));
    }
    wait_for_workers(&mut client, 0);
    // The job of a lost caller.
    caller.send(line(&format!("CALLJOB {} body 100000", queues[3])));
    eventually(|| (stat(&mut client, &queues[3], "ready") == 1).then_some(()));
    drop(caller);
    eventually(|| (stat(&mut client, &queues[3], "expired") == 1).then_some(()));
}

#[test]
fn several_queues_of_one_command_have_to_belong_to_one_thread() {
    let server = start();
    let (mut client, mut worker) = (connected(&server), connected_with_resp3(&server));
    let queues = queues();
    let [a, b, ..] = &queues[..] else { panic!("four queues") };
    for request in [format!("GETJOB FROM {a} {b}"), format!("GETJOB NOHANG TIMEOUT 5 FROM {b} {a}")] {
        assert_eq!(client.ask(line(&request)), CROSS_SLOT, "{request}");
    }
    assert_eq!(client.ask(line(&format!("WORKER {a} {b} WINDOW 5"))), CROSS_SLOT);
    // An outcome whose job is elsewhere is not lost without an error.
    let (id, other) = (add(&mut client, &format!("{a} body")), add(&mut client, &format!("{b} body")));
    assert_eq!(id_in(&client.ask(line(&format!("GETJOB FROM {a}")))), id);
    assert_eq!(client.ask(line(&format!("GETJOB REPLY {id} result FROM {b}"))), CROSS_SLOT);
    assert_eq!(client.ask(line(&format!("GETJOB FAIL {id} reason FROM {b}"))), CROSS_SLOT);
    assert_eq!((stat(&mut client, a, "out"), stat(&mut client, b, "ready")), (1, 1));
    // An id of another run names no job.
    let old = "00000001-0000000000000001";
    let reply = client.ask(line(&format!("GETJOB REPLY {old} result NOHANG FROM {b}")));
    assert_eq!(reply, jobs([job(b, &other, "body", 0)]));

    // A part in braces decides alone.
    let [fast, slow] = ["fast", "slow"].map(|name| format!("{{{a}}}{name}"));
    assert_eq!(worker.ask(line(&format!("WORKER {fast} {slow} WINDOW 2"))), "+OK\r\n");
    for queue in [&slow, &fast] {
        let id = add(&mut client, &format!("{queue} body"));
        assert_eq!(id_in(&worker.reply()), id);
    }
    // A worker belongs to one thread.
    assert_eq!(worker.ask(line(&format!("WORKER {b}"))), CROSS_SLOT);
    let is_worker = "-ERR GETJOB is not allowed on a connection that receives pushed jobs\r\n";
    for queue in [a, b] {
        assert_eq!(worker.ask(line(&format!("GETJOB FROM {queue}"))), is_worker);
    }
    assert_eq!(worker.ask(line(&format!("WORKER {slow}"))), "+OK\r\n");
    drop(worker);
    eventually(|| (stat(&mut client, &fast, "ready") == 1).then_some(()));
}

#[test]
fn dead_jobs_stay_with_the_thread_of_their_queue() {
    let server = start();
    let mut client = connected(&server);
    let queues = queues();
    let named = queues.iter().map(|queue| (queue.clone(), format!("dead:{{{queue}}}")));
    let tagged = queues.iter().map(|queue| (format!("{{{queue}}}fast"), format!("dead:{{{queue}}}fast")));
    for (queue, dead) in named.chain(tagged) {
        let id = add(&mut client, &format!("{queue} body MAXTRIES 1"));
        client.ask(line(&format!("GETJOB FROM {queue}")));
        assert_eq!(client.ask(line(&format!("NACK {id}"))), ":1\r\n");
        assert_eq!(client.ask(line(&format!("QLEN {dead}"))), ":1\r\n", "{dead}");
        assert_eq!(client.ask(line(&format!("REDRIVE {queue}"))), ":1\r\n");
        assert_eq!(client.ask(line(&format!("GETJOB FROM {queue}"))), jobs([job(&queue, &id, "body", 1)]));
        assert_eq!(client.ask(line(&format!("NACK {id}"))), ":1\r\n");
        assert_eq!(
            client.ask(line(&format!("GETJOB FROM {queue} {dead}"))),
            jobs([job(&dead, &id, "body", 2)])
        );
        assert_eq!(client.ask(line(&format!("ACKJOB {id}"))), ":1\r\n");
    }
}

#[test]
fn queues_and_totals_are_those_of_all_threads() {
    let server = start();
    let mut client = connected(&server);
    assert_eq!(client.ask(line("QUEUES")), "*0\r\n");
    let names: BTreeSet<String> = (0..20).map(|number| format!("queue{number}")).collect();
    names.iter().for_each(|queue| drop(add(&mut client, &format!("{queue} body"))));
    let Some(Reply::Array(found)) = Reply::only(&client.ask(line("QUEUES"))) else { panic!("an array") };
    assert_eq!(found.len(), 20);
    assert_eq!(found.iter().map(bulk).collect::<BTreeSet<_>>(), names);
    let fields = info(&mut client, "jobs");
    assert_eq!((fields.number("jobs"), fields.number("jobs_queues")), (20, 20));
    let mut workers: Vec<_> = queues().iter().map(|queue| (connected(&server), queue.clone())).collect();
    workers.iter_mut().for_each(|(worker, queue)| worker.send(line(&format!("GETJOB FROM {queue}"))));
    wait_for_workers(&mut client, THREADS.into());
}

#[test]
fn a_transaction_can_be_over_the_queues_of_several_threads() {
    let server = start();
    let mut client = connected(&server);
    let queues = queues();
    let ids: Vec<String> = queues.iter().map(|queue| add(&mut client, &format!("{queue} body"))).collect();
    let requests =
        format!("MULTI \n DELJOB {} \n QLEN {} \n QLEN {} \n EXEC", ids.join(" "), queues[0], queues[3]);
    client.send(lines(&requests));
    let queued = "+QUEUED\r\n".repeat(3);
    assert_eq!(client.replies(5), format!("+OK\r\n{queued}*3\r\n:4\r\n:0\r\n:0\r\n"));
}

#[test]
fn the_keys_of_getjob_are_its_queues() {
    let server = start();
    let mut client = connected(&server);
    let keys = client.ask(line("COMMAND GETKEYS GETJOB REPLY FROM FROM TIMEOUT 5 from a b"));
    assert_eq!(keys, "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    let described = String::from_utf8_lossy(&client.ask(line("COMMAND INFO GETJOB"))).into_owned();
    let words: Vec<&str> = described.lines().filter(|line| !line.starts_with('$')).collect();
    let begin = ["begin_search", "*4", "type", "keyword", "spec", "*4", "keyword", "FROM", "startfrom", ":1"];
    assert!(words.windows(begin.len()).any(|part| part == begin), "{described}");
    assert!(words.contains(&"+movablekeys"), "{described}");
}

#[test]
fn commands_with_ids_change_the_queues_of_the_jobs() {
    for server in [super::start(), start()] {
        let (mut client, mut other) = (connected(&server), connected(&server));
        for command in ["NACK", "ACKJOB", "DELJOB"] {
            let id = add(&mut client, "q body");
            assert_eq!(id_in(&client.ask(line("GETJOB FROM q"))), id);
            client.send(lines("WATCH q \n MULTI \n QLEN q"));
            assert_eq!(client.replies(3), "+OK\r\n+OK\r\n+QUEUED\r\n");
            assert_eq!(other.ask(line(&format!("{command} {id}"))), ":1\r\n");
            assert_eq!(client.ask(line("EXEC")), "*-1\r\n", "{command}");
            client.ask(line(&format!("DELJOB {id}")));
        }
    }
}
