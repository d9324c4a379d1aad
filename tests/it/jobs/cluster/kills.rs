//! Producers and workers work while the test kills and stops instances.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use super::{ClusterClient, Instances, SHORT_LEASE, bulk, queues};
use crate::support::{Postgres, Reply, eventually};

const PRODUCERS: usize = 3;
const WORKERS: usize = 4;

/// The jobs that clients know, by their bodies.
#[derive(Default)]
struct Known {
    /// An instance has acknowledged that it has the job.
    added: HashSet<String>,
    /// An instance has acknowledged the result: the id of the job.
    ended: HashMap<String, String>,
    /// The tries of the last delivery.
    tries: HashMap<String, i64>,
}

#[test]
fn no_job_of_a_killed_instance_is_lost() {
    survive(|instances, progress| {
        for name in ["a", "b"] {
            drop(instances.remove(name));
            instances.settle();
            progress();
            instances.add(name);
            instances.settle();
            progress();
        }
    });
}

#[test]
fn no_job_of_a_paused_instance_is_lost_or_has_two_owners() {
    survive(|instances, progress| {
        for _ in 0..2 {
            let paused = instances.remove("a");
            paused.signal("STOP");
            instances.settle();
            paused.signal("CONT");
            instances.put_back("a", paused);
            instances.settle();
            progress();
        }
    });
}

/// Runs producers and workers while `disturb` ends instances `a` and `b`. It gets a function that waits until all have made progress.
fn survive(disturb: impl FnOnce(&mut Instances, &dyn Fn())) {
    let database = Postgres::start();
    let mut instances = Instances::start_with(database.url(), SHORT_LEASE, Vec::new(), &["c", "a", "b"]);
    // The first one stays.
    let seeds = instances.addresses()[..1].to_vec();
    let (known, is_over) = (Mutex::new(Known::default()), AtomicBool::new(false));
    let progress = || {
        let numbers = || {
            let known = known.lock().expect("no client has failed");
            (known.added.len(), known.ended.len())
        };
        let (added, ended) = numbers();
        eventually(|| {
            let (now_added, now_ended) = numbers();
            (now_added > added + 100 && now_ended > ended + 100).then_some(())
        });
    };
    thread::scope(|scope| {
        for number in 0..PRODUCERS {
            let (client, known, is_over) = (ClusterClient::new(seeds.clone()), &known, &is_over);
            scope.spawn(move || produce(client, number, known, is_over));
        }
        for _ in 0..WORKERS {
            let (client, known, is_over) = (ClusterClient::new(seeds.clone()), &known, &is_over);
            scope.spawn(move || work(client, known, || is_over.load(Relaxed)));
        }
        progress();
        disturb(&mut instances, &progress);
        is_over.store(true, Relaxed);
    });
    // The last worker gets all jobs that are left.
    let mut client = ClusterClient::new(seeds);
    work(ClusterClient::new(instances.addresses()), &known, || {
        queues().iter().all(|queue| {
            let left = ["ready", "delayed", "out"].map(|field| stat(&mut client, queue, field));
            left == [0; 3]
        })
    });
    let known = known.into_inner().expect("no client has failed");
    let lost: Vec<_> = known.added.iter().filter(|body| !known.ended.contains_key(*body)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    for (body, id) in known.ended.iter().take(50) {
        let (result, _) = client.ask(id, &format!("RESULT {id}"));
        assert_eq!(Reply::only(&result), Some(Reply::Bulk(body.clone().into_bytes())), "the result is kept");
    }
}

/// Adds jobs to all queues until the end.
fn produce(mut client: ClusterClient, producer: usize, known: &Mutex<Known>, is_over: &AtomicBool) {
    let queues = queues();
    for number in 0.. {
        let body = format!("{producer}:{number}");
        // With a name, a job that was added before an instance was lost is not added again.
        let request = format!("ADDJOB {0} {body} ID {body} KEEP 600000", queues[number % queues.len()]);
        let (reply, _) = client.ask(&queues[number % queues.len()], &request);
        assert!(reply.starts_with(b"$"), "{reply:?}");
        known.lock().expect("no client has failed").added.insert(body);
        if is_over.load(Relaxed) {
            return;
        }
    }
}

/// Does jobs of all queues until the end.
fn work(mut client: ClusterClient, known: &Mutex<Known>, mut is_over: impl FnMut() -> bool) {
    loop {
        for queue in queues() {
            let (reply, _) = client.ask(&queue, &format!("GETJOB TIMEOUT 20 FROM {queue}"));
            let jobs = match Reply::only(&reply) {
                Some(Reply::Array(jobs)) => jobs,
                Some(Reply::Null) => continue,
                _ => panic!("{reply:?}"),
            };
            let Reply::Array(fields) = &jobs[0] else { panic!("{jobs:?}") };
            let (id, body, tries) = delivered(&fields[1..], known);
            // No second result of a job is accepted.
            let (reply, was_lost) = client.ask(&id, &format!("REPLYJOB {id} {body} TRY {tries}"));
            match &reply[..] {
                b":0\r\n" => {}
                _ if reply.starts_with(b"-OLDTRY ") => continue,
                _ => panic!("{reply:?} after a lost reply: {was_lost}"),
            }
            known.lock().expect("no client has failed").ended.insert(body, id);
        }
        if is_over() {
            return;
        }
    }
}

/// Notes a delivery of a job: id, body and tries.
fn delivered(fields: &[Reply], known: &Mutex<Known>) -> (String, String, i64) {
    let (id, body) = (bulk(&fields[0]), bulk(&fields[1]));
    let Reply::Integer(tries) = fields[2] else { panic!("{fields:?}") };
    let mut known = known.lock().expect("no client has failed");
    assert!(!known.ended.contains_key(&body), "{body} was done, and came back");
    // No two workers get a job with the same number.
    let before = known.tries.insert(body.clone(), tries);
    assert!(before.is_none_or(|before| before < tries), "{body}: {tries} tries after {before:?}");
    (id, body, tries)
}

fn stat(client: &mut ClusterClient, queue: &str, field: &str) -> i64 {
    let (reply, _) = client.ask(queue, &format!("QSTAT {queue}"));
    let Some(Reply::Array(fields)) = Reply::only(&reply) else { panic!("{reply:?}") };
    let value = fields.chunks(2).find(|pair| bulk(&pair[0]) == field).map(|pair| &pair[1]);
    let Some(Reply::Integer(number)) = value else { panic!("no {field} in {fields:?}") };
    *number
}
