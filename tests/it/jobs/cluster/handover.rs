//! Queues that move to another instance, and the clients that use them.

use super::{
    Instances, LEASE, add, bulk, connected, connected_with_resp3, id_in, job, jobs, line, queues, serves,
    wait_for_workers,
};
use crate::support::{Etcd, Postgres, Process, Reply, eventually};

#[test]
fn a_new_instance_gets_its_share() {
    let server = Postgres::start();
    let mut instances = Instances::start(server.url(), &["a"]);
    let queues = queues();
    let mut client = connected(instances.process("a"));
    // A job that a worker has, in each queue, and clients that wait for more.
    let ids: Vec<String> =
        queues.iter().map(|queue| add(&mut client, &format!("{queue} body KEEP 60000"))).collect();
    for (queue, id) in queues.iter().zip(&ids) {
        assert_eq!(client.ask(line(&format!("GETJOB FROM {queue}"))), jobs([job(queue, id, "body", 0)]));
    }
    let mut blocked: Vec<_> = queues.iter().map(|_| connected(instances.process("a"))).collect();
    let mut pushed: Vec<_> = queues.iter().map(|_| connected_with_resp3(instances.process("a"))).collect();
    for (queue, blocked) in queues.iter().zip(&mut blocked) {
        blocked.send(line(&format!("GETJOB FROM {queue}")));
    }
    // The client that waits first gets the next job of its queue. Another thread may serve the second one, and be faster.
    wait_for_workers(&mut client, 6);
    for (queue, pushed) in queues.iter().zip(&mut pushed) {
        assert_eq!(pushed.ask(line(&format!("WORKER {queue}"))), "+OK\r\n");
    }
    instances.add("b");
    instances.settle();
    let mut cluster = instances.client();
    let moved = instances.queues_of("b");
    assert_eq!(moved.len(), 3);
    for (index, queue) in queues.iter().enumerate() {
        let (blocked, pushed) = (&mut blocked[index], &mut pushed[index]);
        if moved.contains(queue) {
            let reply = String::from_utf8_lossy(&blocked.reply()).into_owned();
            assert!(
                reply.starts_with("-MOVED ") || reply == "-CLUSTERDOWN Hash slot not served\r\n",
                "{reply}"
            );
            assert_eq!(pushed.rest(), "", "a worker notices that its queue is elsewhere");
            // The worker still has the job, but the new owner does not know that it is alive. The first result counts.
            let again = cluster.ask(queue, &format!("GETJOB FROM {queue}")).0;
            assert_eq!(again, jobs([job(queue, &ids[index], "body", 1)]));
        }
        let id = &ids[index];
        assert_eq!(cluster.ask(id, &format!("REPLYJOB {id} result")).0, ":0\r\n");
        assert_eq!(cluster.ask(id, &format!("RESULT {id}")).0, "$6\r\nresult\r\n");
    }
    // Those of the other queues still wait.
    for (index, queue) in queues.iter().enumerate().filter(|(_, queue)| !moved.contains(queue)) {
        let id = add(&mut client, &format!("{queue} next"));
        assert_eq!(blocked[index].reply(), jobs([job(queue, &id, "next", 0)]));
        let id = add(&mut client, &format!("{queue} pushed"));
        assert_eq!(id_in(&pushed[index].reply()), id);
    }
}

#[test]
fn an_instance_that_stops_gives_its_queues_to_the_others() {
    let server = Postgres::start();
    let mut instances = Instances::start(server.url(), &["a", "b"]);
    let mut cluster = instances.client();
    let queues = queues();
    for queue in &queues {
        cluster.ask(queue, &format!("ADDJOB {queue} body"));
        cluster.ask(queue, &format!("SCHEDULE {{{queue}}}daily @daily {queue} body"));
    }
    let left = instances.remove("a");
    left.signal("TERM");
    assert_eq!(left.wait().code(), Some(0));
    instances.settle();
    let mut client = connected(instances.process("b"));
    for queue in &queues {
        assert_eq!(client.ask(line(&format!("QLEN {queue}"))), ":1\r\n");
    }
    let Some(Reply::Array(schedules)) = Reply::only(&client.ask(line("SCHEDULES"))) else {
        panic!("schedules")
    };
    assert_eq!(schedules.len(), queues.len());
    // It is started again, with its name.
    instances.add("a");
    instances.settle();
    let mut cluster = instances.client();
    for queue in &queues {
        assert_eq!(cluster.ask(queue, &format!("QLEN {queue}")).0, ":1\r\n");
        let name = format!("{{{queue}}}daily");
        assert_eq!(cluster.ask(queue, &format!("UNSCHEDULE {name}")).0, ":1\r\n");
    }
}

#[test]
fn a_schedule_has_the_slot_of_its_queue() {
    let server = Postgres::start();
    let instances = Instances::start(server.url(), &["a"]);
    let mut client = connected(instances.process("a"));
    let refusal = "-CROSSSLOT in a cluster, the name of a schedule needs the slot of its queue: {mail}hourly for the queue mail\r\n";
    assert_eq!(client.ask(line("SCHEDULE hourly @hourly mail body")), refusal);
    assert_eq!(client.ask(line("SCHEDULE {mail}hourly @hourly mail body")), ":1\r\n");
    assert_eq!(client.ask(line("SCHEDULE mail @hourly {mail}fast body")), ":1\r\n");
    let several = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
    assert_eq!(client.ask(line("UNSCHEDULE {mail}hourly other")), several);
    assert_eq!(client.ask(line("UNSCHEDULE {mail}hourly mail {mail}")), ":2\r\n");
}

#[test]
fn an_outcome_of_a_job_of_another_partition_is_not_lost() {
    let server = Postgres::start();
    let instances = Instances::start(server.url(), &["a"]);
    let mut client = connected(instances.process("a"));
    let [one, other, ..] = &queues()[..] else { panic!("several") };
    let id = add(&mut client, &format!("{one} body"));
    assert_eq!(id_in(&client.ask(line(&format!("GETJOB FROM {one}")))), id);
    let refusal = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";
    assert_eq!(client.ask(line(&format!("GETJOB REPLY {id} result NOHANG FROM {other}"))), refusal);
    assert_eq!(client.ask(line(&format!("GETJOB REPLY nonsense result NOHANG FROM {other}"))), "$-1\r\n");
}

#[test]
fn instances_can_agree_in_etcd() {
    let (server, etcd) = (Postgres::start(), Etcd::start());
    let store = format!("{}/shop", etcd.endpoint().replace("http", "etcd"));
    let options = vec!["--cluster-store".to_owned(), store];
    let mut instances = Instances::start_with(server.url(), LEASE, options, &["a", "b"]);
    let mut cluster = instances.client();
    let queues = queues();
    for queue in &queues {
        cluster.ask(queue, &format!("ADDJOB {queue} body"));
    }
    drop(instances.remove("a"));
    instances.settle();
    for queue in &queues {
        assert_eq!(cluster.ask(queue, &format!("QLEN {queue}")).0, ":1\r\n");
    }
    let listed = etcd.ctl().args(["get", "--prefix", "--keys-only", "/shop/"]).output().expect("etcdctl");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("/shop/topology\n"), "{listed:?}");
}

#[test]
fn a_balancer_follows_the_owners() {
    let server = Postgres::start();
    let mut instances = Instances::start(server.url(), &["a", "b"]);
    let addresses = instances.addresses();
    let balancer =
        Process::program_with("balancer", &[&["--cluster"], &[&*addresses[0], &*addresses[1]][..]].concat());
    let (mut producer, mut worker) = (connected(&balancer), connected(&balancer));
    let queues = queues();
    for queue in &queues {
        worker.send(line(&format!("GETJOB FROM {queue}")));
        let id = add(&mut producer, &format!("{queue} body"));
        assert_eq!(worker.reply(), jobs([job(queue, &id, "body", 0)]));
        assert_eq!(worker.ask(line(&format!("ACKJOB {id}"))), ":1\r\n");
    }
    drop(instances.remove("a"));
    for queue in &queues {
        let id = eventually(|| match Reply::only(&producer.ask(line(&format!("ADDJOB {queue} body")))) {
            Some(id @ Reply::Bulk(_)) => Some(bulk(&id)),
            _ => None,
        });
        let job = eventually(|| {
            Some(worker.ask(line(&format!("GETJOB FROM {queue}")))).filter(|job| !job.starts_with(b"-"))
        });
        assert_eq!(id_in(&job), id);
    }
    assert!(queues.iter().all(|queue| serves(instances.process("b"), queue)));
}
