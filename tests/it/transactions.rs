//! Tests `MULTI` and `WATCH` with actors. `differential/transactions.txt` compares the replies with Redis.

use std::{
    iter,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use actix::ResponseFuture;
use actix_rt::{Arbiter, time::sleep};
use thegiant::{Keyspace, Limits, Value, prelude::*, test::TestServer};

use crate::support::{
    RawClient, Served, client_list, cpu_time_of_this_thread, eventually, exchange, info, line, lines, listed,
    request,
};

/// Counts, and reports changes of keys that no command names.
#[derive(Default)]
struct Worker {
    marks: i64,
    waiting: Vec<Responder<Option<i64>>>,
    keyspace: Keyspace,
    gate: Option<Arc<Barrier>>,
}

impl Actor for Worker {
    type Context = Context<Self>;
}

#[commands]
impl Worker {
    /// Increments the counter.
    #[command("MARK", write)]
    fn mark(&mut self, _key: Key<&[u8]>) -> i64 {
        self.marks += 1;
        self.marks
    }

    /// Returns the counter.
    #[command("MARKS", readonly)]
    fn marks(&self) -> i64 {
        self.marks
    }

    /// Increments the counter without naming a key.
    #[command("MARKALL", write)]
    fn mark_all(&mut self) -> i64 {
        self.mark(Key(b""))
    }

    #[command("PANIC", write)]
    fn panic(&self) {
        panic!("as it was told");
    }

    /// Blocks the actor at the gate.
    #[command("HOLD")]
    fn block_actor(&self) {
        if let Some(gate) = &self.gate {
            gate.wait();
        }
    }

    /// Waits for a reply that never comes.
    #[command("NEVER", blocking)]
    fn never(&mut self, responder: Responder<Option<i64>>) {
        self.waiting.push(responder);
    }

    /// Replies with -1 after a minute.
    #[command("HARDLYEVER", blocking)]
    fn hardly_ever(&mut self, responder: Responder<Option<i64>>) {
        self.waiting.push(responder.timeout(Duration::from_secs(60), Some(-1)));
    }

    /// Replies after 20 ms.
    #[command("SOON")]
    fn soon(&self) -> ResponseFuture<i64> {
        Box::pin(async {
            sleep(Duration::from_millis(20)).await;
            7
        })
    }

    /// Changes a key that the command does not declare as a key.
    #[command("CHANGE")]
    fn change(&self, db: u16, key: &[u8]) {
        self.keyspace.modified(db, key);
    }

    /// Changes all keys.
    #[command("CHANGEALL")]
    fn change_all(&self) {
        self.keyspace.all_modified();
    }
}

struct Other;

impl Actor for Other {
    type Context = Context<Self>;
}

#[commands]
impl Other {
    #[command("OTHER")]
    fn other(&self) {}
}

fn app() -> App {
    let app = App::new();
    let worker = Worker { keyspace: app.keyspace(), ..Worker::default() };
    app.mount(worker.start()).mount(Other.start())
}

/// Returns the application with the actor in its own thread.
fn threaded(gate: Option<Arc<Barrier>>) -> App {
    let worker = |_: &mut Context<Worker>| Worker { gate, ..Worker::default() };
    App::new().mount(Worker::start_in_arbiter(&Arbiter::new().handle(), worker))
}

fn numbers(array: Value) -> Vec<i64> {
    let Value::Array(values) = array else { panic!("not an array: {array:?}") };
    values.iter().filter_map(Value::as_int).collect()
}

#[test]
fn no_other_command_runs_within_a_transaction() {
    let served = Served::start(|| threaded(None));
    let address = served.address();
    let is_finished = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut other = RawClient::connect(address);
                while !is_finished.load(Relaxed) {
                    other.send(lines("MARK a\nMARK a\nMARK a"));
                    other.replies(3);
                }
            });
        }
        let mut client = RawClient::connect(address);
        let executed: Vec<_> = (0..300)
            .map(|_| {
                client.send(lines("MULTI\nMARK a\nPING\nMARK a\nECHO x\nPUBLISH a b\nMARK a\nEXEC"));
                client.replies(7);
                String::from_utf8_lossy(&client.reply()).into_owned()
            })
            .collect();
        is_finished.store(true, Relaxed);
        for reply in executed {
            let number = |line: &str| line.strip_prefix(':')?.parse().ok();
            let marks: Vec<i64> = reply.lines().filter_map(number).filter(|number| *number > 0).collect();
            assert!(marks.len() == 3 && marks[2] - marks[0] == 2, "{reply}");
        }
    });
}

#[test]
fn a_reset_connection_in_a_transaction_blocks_no_other_client() {
    let served = Served::start(|| threaded(None));
    for _ in 0..50 {
        let mut client = RawClient::connect(served.address());
        client.send(lines("MULTI\nMARK a\nPING\nMARK a\nPING\nMARK a\nEXEC"));
        client.reset();
        exchange(served.address(), lines("MARK a"));
    }
}

#[test]
fn a_transaction_refuses_commands_of_two_actors() {
    let served = Served::start(app);
    let replies = exchange(
        served.address(),
        lines("MULTI\nMARK a\nOTHER\nEXEC\nMARKS\nMULTI\nOTHER\nPING\nOTHER\nEXEC"),
    );
    let refused = "-ERR 'other' can't be in one transaction with 'mark': they belong to different actors\r\n\
                   -EXECABORT Transaction discarded because of previous errors.\r\n";
    let rest = "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n+PONG\r\n+OK\r\n";
    assert_eq!(replies, format!("+OK\r\n+QUEUED\r\n{refused}:0\r\n{rest}"));
}

#[test]
fn a_panic_is_one_of_the_replies_of_a_transaction() {
    let served = Served::start(app);
    let replies = exchange(served.address(), lines("MULTI\nMARK a\nPANIC\nMARK a\nEXEC\nPING"));
    let executed = "*3\r\n:1\r\n-ERR internal error\r\n:2\r\n+PONG\r\n";
    assert_eq!(replies, format!("+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n{executed}"));
}

#[thegiant::test]
async fn in_a_transaction_responders_time_out_at_once_and_futures_run() {
    let server = TestServer::start(app());
    let mut client = server.connect();
    client.send(lines("MULTI\nNEVER\nMARK a\nHARDLYEVER\nPING\nNEVER\nEXEC\nPING")).await;
    client.expect("+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n").await;
    client.expect("*5\r\n$-1\r\n:1\r\n:-1\r\n+PONG\r\n$-1\r\n+PONG\r\n").await;

    client.send(lines("MULTI\nMARK a\nSOON\nMARK a\nSOON\nEXEC\nPING")).await;
    client.expect("+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n").await;
    client.expect("*4\r\n:2\r\n:7\r\n:3\r\n:7\r\n+PONG\r\n").await;
    server.stop().await.expect("an ordered end");
}

#[thegiant::test]
async fn changes_by_an_actor_fail_a_watch() {
    let server = TestServer::start(app());
    let mut client = server.connect();
    for (change, is_dirty) in [
        ("CHANGE 0 a", true),
        ("CHANGE 1 a", false),
        ("CHANGE 0 b", false),
        ("CHANGEALL", true),
        ("MARK a", true),
        ("MARK b", false),
        ("MARKALL", true),
        ("MARKS", false),
        ("PANIC", false),
        ("MARK", false),
    ] {
        client.call(["WATCH", "a"]).await;
        client.call(change.split(' ').collect::<Vec<_>>()).await;
        client.call(["MULTI"]).await;
        client.send(line("EXEC")).await;
        client.expect(if is_dirty { "*-1\r\n" } else { "*0\r\n" }).await;
    }
}

#[thegiant::test]
async fn of_many_clients_that_watch_a_key_one_executes() {
    let server = TestServer::start(app());
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.call(["WATCH", "a"]).await;
    }
    for client in &mut clients {
        client.send(lines("MULTI\nMARK a\nEXEC")).await;
    }
    let mut executed = Vec::new();
    for client in &mut clients {
        client.expect("+OK\r\n+QUEUED\r\n").await;
        match client.reply().await {
            Value::Null => {}
            array => executed.extend(numbers(array)),
        }
    }
    assert_eq!(executed, [1]);
}

/// The number of other clients that watch a key does not matter, so `UNWATCH` takes about as long as `WATCH`.
#[thegiant::test]
async fn unwatch_is_as_fast_as_watch_if_many_clients_watch_the_same_keys() {
    const CLIENTS: usize = 3000;
    const KEYS: usize = 100;
    let server = TestServer::start(app());
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    let watch = request(iter::once("WATCH".to_owned()).chain((0..KEYS).map(|key| key.to_string())));
    let mut used = Vec::new();
    for request in [&watch[..], b"UNWATCH\r\n"] {
        let before = cpu_time_of_this_thread();
        for client in &mut clients {
            client.send(request).await;
            client.expect("+OK\r\n").await;
        }
        used.push(cpu_time_of_this_thread() - before);
    }
    assert!(used[1] < 2 * used[0], "{used:?}");
}

/// The other client's write waits in the queue of the actor before `EXEC`, so it runs before the transaction.
#[test]
fn a_queued_change_fails_a_watch() {
    let gate = Arc::new(Barrier::new(2));
    let gate_of_actor = Arc::clone(&gate);
    let served = Served::start(|| threaded(Some(gate_of_actor)));
    let [mut operator, mut holder, mut other, mut client] =
        [(); 4].map(|()| RawClient::connect(served.address()));
    let other_id = other.id();
    client.ask(line("WATCH a"));
    holder.send(line("HOLD"));
    other.send(line("MARK a"));
    eventually(|| (listed(&mut operator, other_id)?.text("cmd") == "mark").then_some(()));
    client.send(lines("MULTI\nMARK a"));
    assert_eq!(client.replies(2), "+OK\r\n+QUEUED\r\n");
    client.send(lines("EXEC\nMARKS"));
    gate.wait();
    assert_eq!(client.replies(2), "*-1\r\n:1\r\n");
}

#[test]
fn a_writing_transaction_waits_for_the_end_of_a_pause() {
    let served = Served::start(app);
    let [mut operator, mut writer, mut reader] = [(); 3].map(|()| RawClient::connect(served.address()));
    let id = writer.id();
    writer.send(lines("MULTI\nMARK a"));
    writer.replies(2);
    operator.ask(line("CLIENT PAUSE 60000 WRITE"));
    reader.send(lines("MULTI\nMARKS\nPING\nEXEC"));
    assert_eq!(reader.replies(4), "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:0\r\n+PONG\r\n");
    writer.send(line("EXEC"));
    eventually(|| (listed(&mut operator, id)?.text("flags") == "xb").then_some(()));
    operator.ask(line("CLIENT UNPAUSE"));
    assert_eq!(writer.reply(), "*1\r\n:1\r\n");
}

#[test]
fn queued_commands_count_towards_the_query_buffer_limit() {
    const LIMIT: usize = 1024 * 1024;
    let served =
        Served::with(app, |server| server.limits(Limits::new().query_buffer(LIMIT)).bind("127.0.0.1:0"));
    let mut client = RawClient::connect(served.address());
    client.ask(line("MULTI"));
    let large = line(&format!("MARK {}", "x".repeat(LIMIT / 4)));
    for queued in 1..=3 {
        assert_eq!(client.ask(&large), "+QUEUED\r\n");
        let mut operator = RawClient::connect(served.address());
        let shown = client_list(&mut operator, "").into_iter().find(|fields| fields.text("multi") != "-1");
        let shown = shown.expect("a client in a transaction");
        assert_eq!((shown.number("multi"), shown.text("flags")), (queued, "x"));
        assert!(shown.number("multi-mem") >= queued * LIMIT as u64 / 4);
        assert!(shown.number("tot-mem") >= shown.number("multi-mem"));
    }
    client.send(&large);
    assert_eq!(client.rest(), "");
    assert_eq!(exchange(served.address(), lines("MARKS")), ":0\r\n");
}

#[test]
fn disconnected_clients_leave_no_transaction_state() {
    let served = Served::start(app);
    let mut operator = RawClient::connect(served.address());
    for ending in ["", "EXEC", "DISCARD", "RESET", "EXEC x", "QUIT"] {
        let mut client = RawClient::connect(served.address());
        client.send(lines(&format!("WATCH a b\nMULTI\nMARK a\n{ending}")));
        client.replies(3);
        if !ending.is_empty() {
            client.reply();
        }
        drop(client);
    }
    eventually(|| (client_list(&mut operator, "").len() == 1).then_some(()));
    assert_eq!(info(&mut operator, "memory").number("mem_clients_normal"), 0);
}
