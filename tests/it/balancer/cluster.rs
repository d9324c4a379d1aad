//! A Redis Cluster behind the balancer behaves like one server.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::Duration,
};

use super::{
    alike::{self, answered_alike},
    crossing, is_error,
};
use crate::support::{Cluster, Process, RawClient, Reply, eventually, info, line, lines, request};

/// Starts a balancer in front of a cluster. `seeds` are the addresses of some nodes.
fn before(seeds: &[&str]) -> Process {
    Process::program_with("balancer", &[&["--cluster"], seeds].concat())
}

#[test]
fn a_cluster_behaves_like_one_server() {
    let cluster = Cluster::start();
    let addresses = cluster.addresses();
    let balancer = before(&addresses);
    for script in [alike::SEVERAL_KEYS, alike::TRANSACTIONS, alike::SCRIPTS] {
        answered_alike(&balancer, script);
    }
    alike::check_scan_and_keys(&balancer);
    alike::check_watch(&balancer);
    alike::check_blocking_commands(&balancer, &addresses[..3]);
    // A node counts only the receivers that are connected to that node.
    alike::check_subscriptions(&balancer, None);
    alike::pipelined_alike(&balancer, 2000);
}

#[test]
fn one_reachable_node_is_enough_to_find_the_others() {
    let cluster = Cluster::start();
    // The first address has no server, and the second one is a replica.
    let balancer = before(&["127.0.0.1:1", cluster.addresses()[4]]);
    let mut client = RawClient::connect(balancer.address());
    for number in 0..30 {
        client.send(format!("SET key:{number} value\r\n"));
    }
    assert_eq!(client.replies(30), "+OK\r\n".repeat(30));
    assert_eq!(client.ask(line("DBSIZE")), ":30\r\n");
    assert_eq!(client.ask(line("FLUSHALL")), "+OK\r\n");
    assert_eq!(client.ask(line("EXISTS key:1 key:2 key:3")), ":0\r\n");
}

#[test]
fn keys_are_stored_where_the_cluster_expects_them() {
    let cluster = Cluster::start();
    let balancer = before(&cluster.addresses()[..1]);
    let mut client = RawClient::connect(balancer.address());
    for number in 0..1000 {
        client.send(lines(&format!("SET key:{number} {number} \n GET key:{number}")));
    }
    for number in 0..1000 {
        let value = number.to_string();
        assert_eq!(client.replies(2), format!("+OK\r\n${}\r\n{value}\r\n", value.len()));
    }
    for number in (0..1000).step_by(25) {
        let found = cluster.ask(line(&format!("GET key:{number}")));
        assert_eq!(found, client.ask(format!("GET key:{number}\r\n")));
        assert_ne!(found, "$-1\r\n");
    }
    // The balancer refuses a request with keys of several slots.
    for request in ["RENAME one two", "MSETNX one 1 two 2", "EVAL return(1) 2 one two", "BLPOP one two 0"] {
        assert_eq!(client.ask(line(request)), crossing("one", "two"), "{request}");
    }
    client.send(lines("MULTI \n SET one 1 \n SET two 2 \n EXEC \n EXISTS one two"));
    let replies = [(); 5].map(|()| client.reply());
    assert!(is_error(&replies[3], "EXECABORT") || is_error(&replies[3], "CROSSSLOT"), "{replies:?}");
    assert_eq!(replies[4], ":0\r\n");
    // One command at a time, and with slots of the same node: the transaction fails too, and then it is over.
    let of_one =
        |key: &String| cluster.master_of(cluster.slot_of(key)) == cluster.master_of(cluster.slot_of("one"));
    let near = (0..).map(|number| format!("near:{number}")).find(of_one).expect("there are many");
    for other in ["two", &near] {
        client.ask(line("MULTI"));
        client.ask(line("SET one 1"));
        client.ask(format!("SET {other} 2\r\n"));
        let end = client.ask(line("EXEC"));
        assert!(is_error(&end, "EXECABORT") || is_error(&end, "CROSSSLOT"), "{end:?}");
        for (request, reply) in
            [("MULTI", "+OK\r\n"), ("GET three", "+QUEUED\r\n"), ("EXEC", "*1\r\n$-1\r\n")]
        {
            assert_eq!(client.ask(line(request)), reply, "{request}, after {other}");
        }
    }
}

/// Number of keys in the slot that moves.
const MOVING: usize = 20;

#[test]
fn keys_stay_available_while_their_slot_moves() {
    let cluster = Cluster::start();
    let balancer = before(&cluster.addresses());
    let [mut client, mut waiting] = [(); 2].map(|()| RawClient::connect(balancer.address()));
    let slot = cluster.slot_of("{moving}");
    let target = cluster.another_master(&cluster.master_of(slot));
    let keys: Vec<_> = (0..MOVING).map(|number| format!("{{moving}}:{number}")).collect();
    for key in &keys {
        assert_eq!(client.ask(format!("SET {key} {key}\r\n")), "+OK\r\n");
    }
    waiting.send(line("BLPOP {moving}:list 0"));
    let mut source = RawClient::connect(&cluster.master_of(slot));
    eventually(|| (info(&mut source, "clients").number("blocked_clients") == 1).then_some(()));

    let half = cluster.begin_to_move(slot, &target);
    assert!(half.step(MOVING / 2));
    let is_there = |key: &&String| source.ask(format!("EXISTS {key}\r\n")) == ":1\r\n";
    let (staying, gone): (Vec<_>, Vec<_>) = keys.iter().partition(is_there);
    assert_eq!((staying.len(), gone.len()), (MOVING / 2, MOVING / 2));
    for key in staying.iter().chain(&gone) {
        let value = format!("${}\r\n{key}\r\n", key.len());
        client.send(lines(&format!("GET {key} \n SET {key} new \n APPEND {key} er \n GET {key}")));
        assert_eq!(client.replies(4), format!("{value}+OK\r\n:5\r\n$5\r\nnewer\r\n"), "{key}");
    }
    client.send(lines("SET {moving}:new 1 \n INCR {moving}:new \n DEL {moving}:new \n GET {moving}:new"));
    assert_eq!(client.replies(4), "+OK\r\n:2\r\n:1\r\n$-1\r\n");
    // Neither node has all these keys. A node replies `TRYAGAIN`, or the balancer asks for each key.
    let reply = client.ask(line(&format!("MGET {} {}", staying[0], gone[0])));
    assert!(reply == "*2\r\n$5\r\nnewer\r\n$5\r\nnewer\r\n" || is_error(&reply, "TRYAGAIN"), "{reply:?}");
    // Either the whole transaction runs, or nothing of it.
    for (key, other) in [(staying[1], staying[2]), (gone[1], gone[2]), (staying[3], gone[3])] {
        client.send(lines(&format!(
            "MULTI \n APPEND {key} ! \n APPEND {other} ! \n EXEC \n GET {key} \n GET {other}"
        )));
        let replies = [(); 6].map(|()| client.reply());
        match replies[3].starts_with(b"-") {
            true => assert_eq!(replies[4..], ["$5\r\nnewer\r\n"; 2]),
            false => {
                assert_eq!(replies[3], "*2\r\n:6\r\n:6\r\n");
                assert_eq!(replies[4..], ["$6\r\nnewer!\r\n"; 2]);
            }
        }
        assert!(
            replies.iter().all(|reply| !is_error(reply, "ASK") && !is_error(reply, "MOVED")),
            "{replies:?}"
        );
    }
    half.finish();

    // The transaction may be the first request after the slot has moved. Then nothing of it runs.
    eventually(|| {
        client.send(lines("MULTI \n SET {moving}:0 1 \n INCR {moving}:0 \n EXEC \n GET {moving}:0"));
        let [.., end, value] = [(); 5].map(|()| client.reply());
        match is_error(&end, "EXECABORT") {
            true => assert_eq!(value, "$5\r\nnewer\r\n"),
            false => assert_eq!((&end[..], &value[..]), (&b"*2\r\n+OK\r\n:2\r\n"[..], &b"$1\r\n2\r\n"[..])),
        }
        (!is_error(&end, "EXECABORT")).then_some(())
    });
    // The blocked client is still blocked.
    assert_eq!(client.ask(line("RPUSH {moving}:list value")), ":1\r\n");
    assert_eq!(waiting.reply(), "*2\r\n$13\r\n{moving}:list\r\n$5\r\nvalue\r\n");
}

const WRITERS: usize = 20;

/// A key that only one writer writes, with growing values.
struct Record {
    key: String,
    attempted: AtomicU64,
    acknowledged: AtomicU64,
}

impl Record {
    /// Returns the records of a writer. Some are in the slot that moves, the others in any slot.
    fn of(writer: usize, stage: &str) -> Vec<Self> {
        let moving = (0..3).map(|number| format!("{{moving}}:{stage}:{writer}:{number}"));
        let others = (0..9).map(|number| format!("{stage}:{writer}:{number}"));
        let record = |key| Record { key, attempted: AtomicU64::new(0), acknowledged: AtomicU64::new(0) };
        moving.chain(others).map(record).collect()
    }

    fn next(&self) -> u64 {
        self.attempted.fetch_add(1, SeqCst) + 1
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(SeqCst)
    }

    /// Reads the value without the balancer. Returns 0 if there is none.
    fn direct(&self, cluster: &Cluster) -> u64 {
        value(&cluster.ask(request(["GET", &self.key])))
    }

    /// Checks that the cluster has the acknowledged value, or a later one that the writer has sent.
    #[track_caller]
    fn is_kept(&self, cluster: &Cluster) {
        let acknowledged = self.acknowledged();
        let direct = self.direct(cluster);
        let attempted = self.attempted.load(SeqCst);
        let is_kept = acknowledged <= direct && direct <= attempted;
        assert!(is_kept, "{}: {acknowledged} <= {direct} <= {attempted}", self.key);
    }
}

/// Returns the number in a reply, or 0 for null.
#[track_caller]
fn value(reply: &[u8]) -> u64 {
    match Reply::only(reply) {
        Some(Reply::Null) => 0,
        Some(Reply::Bulk(value)) => String::from_utf8_lossy(&value).parse().expect("a number"),
        reply => panic!("{reply:?} is no value"),
    }
}

/// State that the writers and the test share.
struct Course {
    balancer: Process,
    /// The test has killed a master. From then on errors are allowed.
    is_killed: AtomicBool,
    is_over: AtomicBool,
    before: Vec<Vec<Record>>,
    after: Vec<Vec<Record>>,
    counted: AtomicU64,
}

impl Course {
    /// Writes the records of the first stage, and after the kill those of the second.
    fn write(&self, writer: usize) {
        let _over = Over(self);
        let mut client = RawClient::connect(self.balancer.address());
        while !self.is_over.load(SeqCst) {
            let is_killed = self.is_killed.load(SeqCst);
            let records = if is_killed { &self.after[writer] } else { &self.before[writer] };
            self.write_all(&mut client, records);
        }
    }

    /// Writes the next value of each record, and reads it.
    fn write_all(&self, client: &mut RawClient, records: &[Record]) {
        let values: Vec<_> = records.iter().map(Record::next).collect();
        for (record, value) in records.iter().zip(&values) {
            client.send(
                [request(["SET", &record.key, &value.to_string()]), request(["GET", &record.key])].concat(),
            );
        }
        for (record, written) in records.iter().zip(values) {
            let [set, get] = [client.reply(), client.reply()];
            let is_lost = self.is_lost(&set) | self.is_lost(&get);
            if set == "+OK\r\n" {
                record.acknowledged.store(written, SeqCst);
            }
            if is_lost {
                // Wait for the new master.
                thread::sleep(Duration::from_millis(5));
            } else if !self.is_killed.load(SeqCst) {
                assert_eq!((&set[..], value(&get)), (&b"+OK\r\n"[..], written), "{}", record.key);
            }
        }
    }

    /// Returns whether a reply is an error. Panics if the error is not allowed.
    fn is_lost(&self, reply: &[u8]) -> bool {
        let is_error = reply.starts_with(b"-");
        let is_allowed =
            ["UPSTREAM", "UPSTREAMDOWN", "CLUSTERDOWN"].iter().any(|code| self::is_error(reply, code));
        let is_killed = self.is_killed.load(SeqCst);
        assert!(!is_error || is_killed && is_allowed, "{:?}", String::from_utf8_lossy(reply));
        is_error
    }

    /// Increments a counter in the slot that moves, in pipelines. Each increment runs once and in order.
    fn count(&self) {
        let _over = Over(self);
        let mut client = RawClient::connect(self.balancer.address());
        let many = lines("INCR {moving}:counter").repeat(300);
        let mut count = 0;
        while !self.is_over.load(SeqCst) {
            client.send(&many);
            for reply in (0..300).map(|_| client.reply()) {
                count += 1;
                if !self.is_lost(&reply) && !self.is_killed.load(SeqCst) {
                    assert_eq!(reply, format!(":{count}\r\n"));
                    self.counted.store(count, SeqCst);
                }
            }
        }
    }

    /// Waits until the cluster has acknowledged new writes to all records of a stage.
    fn goes_on(&self, stage: &[Vec<Record>]) {
        for record in stage.iter().flatten() {
            let before = record.acknowledged();
            self.until(|| record.acknowledged() > before + 1);
        }
    }

    /// Waits until the counter has grown.
    fn counts_on(&self) {
        let before = self.counted.load(SeqCst);
        self.until(|| self.counted.load(SeqCst) > before);
    }

    fn until(&self, is_so: impl Fn() -> bool) {
        eventually(|| {
            assert!(!self.is_over.load(SeqCst), "a client has failed");
            is_so().then_some(())
        });
    }
}

/// Ends all writers when it is dropped, also if a writer or the test panics.
struct Over<'c>(&'c Course);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, SeqCst);
    }
}

#[test]
fn acknowledged_writes_survive_a_moving_slot_and_a_killed_master() {
    let mut cluster = Cluster::start();
    let stage = |stage| (0..WRITERS).map(|writer| Record::of(writer, stage)).collect();
    let course = Course {
        balancer: before(&cluster.addresses()[..2]),
        is_killed: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        before: stage("before"),
        after: stage("after"),
        counted: AtomicU64::new(0),
    };
    let slot = cluster.slot_of("{moving}");
    let victim = cluster.another_master(&cluster.master_of(slot));
    let mut of_the_victim = Vec::new();
    thread::scope(|scope| {
        let _over = Over(&course);
        let course = &course;
        for writer in 0..WRITERS {
            scope.spawn(move || course.write(writer));
        }
        scope.spawn(|| course.count());
        course.goes_on(&course.before);

        let moving = cluster.begin_to_move(slot, &victim);
        while moving.step(1) {
            course.counts_on();
        }
        moving.finish();
        course.goes_on(&course.before);
        for record in course.before.iter().flatten() {
            record.is_kept(&cluster);
        }
        let counted = course.counted.load(SeqCst);
        assert!(value(&cluster.ask(line("GET {moving}:counter"))) >= counted);

        let slots = cluster.slots_of(&victim);
        let is_there = |record: &&Record| slots.contains(&cluster.slot_of(&record.key));
        of_the_victim = course.before.iter().flatten().filter(is_there).map(|record| &record.key).collect();
        course.is_killed.store(true, SeqCst);
        cluster.kill(&victim);
        cluster.is_taken_over();
        course.goes_on(&course.after);
    });

    // Replication is asynchronous. Only the killed master may lose its last acknowledged writes.
    let mut client = RawClient::connect(course.balancer.address());
    for record in course.before.iter().chain(&course.after).flatten() {
        assert_eq!(
            value(&client.ask(request(["GET", &record.key]))),
            record.direct(&cluster),
            "{}",
            record.key
        );
        if of_the_victim.contains(&&record.key) {
            assert!(record.direct(&cluster) <= record.attempted.load(SeqCst), "{}", record.key);
        } else {
            record.is_kept(&cluster);
        }
    }
}
