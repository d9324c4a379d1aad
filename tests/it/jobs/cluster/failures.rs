//! Owners that are too late, and a database that fails over.

use std::{
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use super::{
    ClusterClient, Instances, PARTITIONS, SHORT_LEASE, add, connected, line, queues, stored, wait_for_jobs,
};
use crate::support::{Postgres, eventually};

/// Sends a signal to the process of a session, which writes the jobs of a partition.
fn signal_session(server: &Postgres, partition: u16, pid: &str, name: &str) {
    let kill = format!("kill -s {name} {pid}");
    let status = Command::new("sh").args(["-c", &kill]).status();
    assert!(
        status.expect("sh can be run").success(),
        "the session {pid} of partition {partition} of {}",
        server.url()
    );
}

#[test]
fn a_commit_of_a_paused_owner_is_refused() {
    let server = Postgres::start();
    let mut instances = Instances::start(server.url(), &["a", "b"]);
    let queue = &instances.queues_of("a")[0];
    let partition = thegiant::shard(queue.as_bytes(), PARTITIONS);
    let mut client = connected(instances.process("a"));
    let id = add(&mut client, &format!("{queue} acknowledged"));
    let session = format!("SELECT pid FROM pg_stat_activity WHERE application_name = 'jobs_{partition}'");
    let pid = server.answer(&session);
    // The statement is on its way: PostgreSQL runs it when both processes go on.
    signal_session(&server, partition, &pid, "STOP");
    let (mut other, mut observer) = (connected(instances.process("a")), connected(instances.process("a")));
    client.send(line(&format!("ADDJOB {queue} late")));
    wait_for_jobs(&mut observer, 2);
    other.send(line(&format!("DELJOB {id}")));
    wait_for_jobs(&mut observer, 1);
    let paused = instances.remove("a");
    paused.signal("STOP");
    instances.settle();
    let mut cluster = instances.client();
    assert_eq!(cluster.ask(queue, &format!("QLEN {queue}")).0, ":1\r\n");
    signal_session(&server, partition, &pid, "CONT");
    paused.signal("CONT");
    for client in [&mut client, &mut other] {
        let reply = client.try_reply().unwrap_or_default();
        assert!(reply.is_empty() || reply.starts_with(b"-"), "{reply:?}");
    }
    instances.put_back("a", paused);
    instances.settle();
    assert_eq!(cluster.ask(&id, &format!("SHOW {id}")).0.first(), Some(&b'*'));
    assert_eq!(stored(&server).into_iter().collect::<Vec<_>>(), ["acknowledged"]);
}

#[test]
fn a_server_whose_partition_has_another_owner_writes_nothing_and_ends() {
    let server = Postgres::start();
    let mut instances = Instances::start(server.url(), &["a"]);
    let queue = &queues()[2];
    let mut client = connected(instances.process("a"));
    add(&mut client, &format!("{queue} acknowledged"));
    assert_eq!(stored(&server).into_iter().collect::<Vec<_>>(), ["acknowledged"]);
    server.answer("UPDATE jobs_2.meta SET run = run + 1");
    let refusal = "-MISCONF Errors writing to the database: another process owns the jobs now: connect again, and repeat the command with the new owner\r\n";
    assert_eq!(client.ask(line(&format!("ADDJOB {queue} lost"))), refusal);
    assert_eq!(instances.remove("a").wait().code(), Some(1));
    assert_eq!(stored(&server).into_iter().collect::<Vec<_>>(), ["acknowledged"]);
}

#[test]
fn no_job_is_lost_when_a_standby_takes_over() {
    let primary = Postgres::start();
    let standby = primary.standby();
    let url = format!("postgres://test@{},{}/postgres", primary.host(), standby.host());
    let instances = Instances::start_with(url, SHORT_LEASE, Vec::new(), &["a", "b"]);
    let added = Mutex::new(Vec::new());
    let count = || added.lock().expect("no client has failed").len();
    let progress = || {
        let before = count();
        eventually(|| (count() > before + 100).then_some(()));
    };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for producer in 0..3 {
            let (mut client, added, is_over) = (ClusterClient::new(instances.addresses()), &added, &is_over);
            scope.spawn(move || {
                let queues = queues();
                for number in 0.. {
                    let (queue, body) = (&queues[number % queues.len()], format!("{producer}:{number}"));
                    let (reply, _) = client.ask(queue, &format!("ADDJOB {queue} {body} ID {body}"));
                    assert!(reply.starts_with(b"$"), "{reply:?}");
                    added.lock().expect("no client has failed").push(body);
                    if is_over.load(Relaxed) {
                        return;
                    }
                }
            });
        }
        progress();
        primary.kill();
        standby.promote();
        progress();
        is_over.store(true, Relaxed);
    });
    let stored = stored(&standby);
    let lost: Vec<_> = added
        .lock()
        .expect("no client has failed")
        .iter()
        .filter(|body| !stored.contains(*body))
        .cloned()
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
}
