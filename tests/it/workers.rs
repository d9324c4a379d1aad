use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use thegiant::{Limits, Server};

use crate::support::{
    ANY_PORT, Folder, Process, RawClient, Served, allow_many_connections, app, client_list, eventually,
    exchange, gated, info, line, lines, listed,
};

const WORKERS: u16 = 4;

fn served() -> Served {
    Served::with(app, |server| server.workers(WORKERS).bind(ANY_PORT))
}

/// Returns a number that `INFO server` shows for each worker.
fn of_workers(client: &mut RawClient, name: &str) -> Vec<u64> {
    let info = info(client, "server");
    let worker = |index| {
        let fields = info.text(&format!("thegiant_worker_{index}"));
        let field = fields.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        field.and_then(|number| number.parse().ok()).expect("a number")
    };
    (0..info.number("thegiant_workers")).map(worker).collect()
}

/// Returns connected clients, in the order in which the server has accepted them.
fn connected<const N: usize>(address: &str) -> [RawClient; N] {
    [(); N].map(|()| {
        let mut client = RawClient::connect(address);
        client.id();
        client
    })
}

#[test]
fn the_worker_with_the_fewest_clients_gets_the_next_one() {
    let served = served();
    let [mut client, others @ ..] = connected::<12>(served.address());
    assert_eq!(of_workers(&mut client, "clients"), [3, 3, 3, 3]);
    // Every fourth client is on the same worker.
    let others = others.into_iter().enumerate().filter(|(index, _)| index % 4 != 1);
    let _kept: Vec<_> = others.collect();
    eventually(|| (of_workers(&mut client, "clients") == [3, 3, 0, 3]).then_some(()));
    let _more = connected::<3>(served.address());
    assert_eq!(of_workers(&mut client, "clients"), [3, 3, 3, 3]);
}

#[test]
fn zero_workers_are_as_many_as_the_machine_has_cpus() {
    let served = Served::with(app, |server| server.workers(0).bind(ANY_PORT));
    let cpus = thread::available_parallelism().expect("the number of CPUs").get();
    let mut client = RawClient::connect(served.address());
    assert_eq!(info(&mut client, "server").number("thegiant_workers"), cpus as u64);
}

#[test]
fn replies_keep_the_order_of_the_requests_on_all_workers() {
    let served = served();
    thread::scope(|scope| {
        for client in 0..40 {
            let address = served.address();
            scope.spawn(move || {
                let numbers = client * 1000..(client + 1) * 1000;
                let requests: String = numbers
                    .clone()
                    .map(|number| format!("FIRST {number}\r\nPING {number}\r\nSECOND {number}\r\n"))
                    .collect();
                let bulk = |text: String| format!("${}\r\n{text}\r\n", text.len());
                let replies: String = numbers
                    .flat_map(|number| {
                        [format!("first {number}"), number.to_string(), format!("second {number}")]
                    })
                    .map(bulk)
                    .collect();
                assert!(exchange(address, requests) == replies, "client {client}");
            });
        }
    });
}

/// No increment of a counter is lost, although several threads count.
#[test]
fn statistics_are_exact() {
    const CLIENTS: u64 = 20;
    const PIPELINES: u64 = 200;
    let served = served();
    let barrier = Barrier::new(CLIENTS as usize);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = RawClient::connect(served.address());
                barrier.wait();
                for _ in 0..PIPELINES {
                    client.send(lines("ECHO a \n ECHO b \n FIRST c \n FIRST"));
                    client.replies(4);
                }
            });
        }
    });
    let mut client = RawClient::connect(served.address());
    let stats = info(&mut client, "commandstats");
    let calls = |name: &str| stats.text(name).split(',').next().map(str::to_owned);
    assert_eq!(calls("cmdstat_echo"), Some(format!("calls={}", CLIENTS * PIPELINES * 2)));
    let first = stats.text("cmdstat_first");
    assert!(first.starts_with(&format!("calls={},", CLIENTS * PIPELINES)), "{first}");
    assert!(first.contains(&format!("rejected_calls={},", CLIENTS * PIPELINES)), "{first}");
    assert_eq!(info(&mut client, "stats").number("total_connections_received"), CLIENTS + 1);
    assert_eq!(client.ask(line("CONFIG RESETSTAT")), "+OK\r\n");
    assert_eq!(info(&mut client, "stats").number("total_connections_received"), 0);
    assert_eq!(info(&mut client, "commandstats").get("cmdstat_echo"), None);
}

/// Subscribers on all workers see the messages of publishers on all workers in the same order.
#[test]
fn messages_have_one_order_for_all_subscribers() {
    const MESSAGES: usize = 500;
    let served = served();
    let mut subscribers = connected::<8>(served.address());
    for subscriber in &mut subscribers {
        subscriber.ask(line("SUBSCRIBE news"));
    }
    thread::scope(|scope| {
        for publisher in 0..4 {
            let address = served.address();
            scope.spawn(move || {
                let mut client = RawClient::connect(address);
                for number in 0..MESSAGES {
                    assert_eq!(client.ask(line(&format!("PUBLISH news {publisher}:{number}"))), ":8\r\n");
                }
            });
        }
    });
    let [first, others @ ..] = subscribers.map(|mut subscriber| subscriber.replies(4 * MESSAGES));
    for other in others {
        assert!(other == first);
    }
}

#[test]
fn operators_reach_the_clients_of_all_workers() {
    let served = served();
    let [mut operator, mut monitor, mut paused, mut victim] = connected(served.address());
    assert_eq!(client_list(&mut operator, "").len(), 4);
    assert_eq!(monitor.ask(line("MONITOR")), "+OK\r\n");
    paused.ask(line("FIRST seen"));
    let shown = monitor.reply();
    assert!(shown.ends_with(b"\"FIRST\" \"seen\"\r\n"), "{shown:?}");

    assert_eq!(operator.ask(line("CLIENT PAUSE 100000")), "+OK\r\n");
    paused.send(line("FIRST later"));
    assert!(paused.is_silent());
    assert_eq!(operator.ask(line("CLIENT UNPAUSE")), "+OK\r\n");
    assert_eq!(paused.reply(), "$11\r\nfirst later\r\n");

    let id = victim.id();
    assert_eq!(operator.ask(line(&format!("CLIENT KILL ID {id}"))), ":1\r\n");
    assert_eq!(victim.rest(), "");
    eventually(|| listed(&mut operator, id).is_none().then_some(()));
}

#[test]
fn limits_count_the_clients_of_all_workers() {
    let served = Served::with(app, |server| {
        server.workers(WORKERS).limits(Limits::new().max_clients(6)).bind(ANY_PORT)
    });
    let _clients = connected::<6>(served.address());
    let mut refused = RawClient::connect(served.address());
    assert_eq!(refused.rest(), "-ERR max number of clients reached\r\n");
}

/// A watched key that a client of another worker changes aborts the transaction.
#[test]
fn transactions_see_the_writes_of_other_workers() {
    let served = served();
    let [mut one, mut two] = connected(served.address());
    assert_eq!(one.ask(line("WATCH key")), "+OK\r\n");
    assert_eq!(two.ask(line("SET key 1")), "+OK\r\n");
    one.send(lines("MULTI \n SET key 2 \n EXEC \n GET key"));
    assert_eq!(one.replies(4), "+OK\r\n+QUEUED\r\n*-1\r\n$1\r\n1\r\n");
}

/// While an actor blocks its thread, the workers still answer built-in commands.
#[test]
fn a_blocked_actor_does_not_block_the_workers() {
    let (app, gate) = gated();
    let served = Served::with(app, |server| server.workers(WORKERS).bind(ANY_PORT));
    let mut clients = connected::<8>(served.address());
    clients[0].send(line("GATE"));
    gate.wait();
    for client in &mut clients[1..] {
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    }
    gate.open();
    assert_eq!(clients[0].reply(), "+through\r\n");
}

#[test]
fn a_unix_socket_has_clients_on_all_workers() {
    let folder = Folder::new();
    let socket = folder.socket("workers.sock");
    let served = Served::with(app, move |server: Server| server.workers(WORKERS).bind(socket));
    let mut clients = connected::<8>(served.address());
    for client in &mut clients {
        assert_eq!(client.ask(line("FIRST here")), "$10\r\nfirst here\r\n");
    }
    assert_eq!(of_workers(&mut clients[0], "clients"), [2, 2, 2, 2]);
}

#[test]
fn a_thousand_clients_connect_and_leave_at_once() {
    allow_many_connections();
    let served = served();
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..10 {
            let sender = sender.clone();
            scope.spawn(|| {
                for _ in 0..100 {
                    let mut client = RawClient::connect(served.address());
                    assert_eq!(client.ask(line("FIRST a")), "$7\r\nfirst a\r\n");
                    sender.send(client).expect("the test receives");
                }
                drop(sender);
            });
        }
    });
    drop(receiver);
    let mut client = RawClient::connect(served.address());
    eventually(|| (of_workers(&mut client, "clients").iter().sum::<u64>() == 1).then_some(()));
}

#[test]
fn a_program_with_threads_stops_gracefully() {
    let kv = Process::program_with("kv", &["--threads", "4"]);
    let mut clients = connected::<8>(kv.address());
    assert_eq!(of_workers(&mut clients[0], "clients"), [2, 2, 2, 2]);
    for client in &mut clients {
        assert_eq!(client.ask(line("INCR count")).first(), Some(&b':'));
    }
    kv.signal("TERM");
    for client in &mut clients {
        assert_eq!(client.rest(), "");
    }
    assert!(kv.wait().success());
}

fn blocked_clients(client: &mut RawClient) -> u64 {
    info(client, "clients").number("blocked_clients")
}

/// The timer of a pause runs on the worker of the client that has sent it.
#[test]
fn a_pause_holds_although_another_one_is_just_over() {
    let served = served();
    let [mut operator, mut other, mut client] = connected(served.address());
    for round in 0..100 {
        assert_eq!(operator.ask(line("CLIENT PAUSE 1 WRITE")), "+OK\r\n");
        thread::sleep(Duration::from_micros(900 + round % 10 * 40));
        assert_eq!(other.ask(line("CLIENT PAUSE 600000 WRITE")), "+OK\r\n");
        client.send(line("SET key value"));
        eventually(|| (blocked_clients(&mut operator) == 1).then_some(()));
        assert_eq!(operator.ask(line("CLIENT UNPAUSE")), "+OK\r\n");
        assert_eq!(client.reply(), "+OK\r\n");
    }
}

#[test]
fn a_client_that_begins_to_wait_when_a_pause_ends_goes_on() {
    let served = served();
    let [mut operator, mut client] = connected(served.address());
    for _ in 0..200 {
        assert_eq!(operator.ask(line("CLIENT PAUSE 600000 WRITE")), "+OK\r\n");
        client.send(line("SET key value"));
        assert_eq!(operator.ask(line("CLIENT UNPAUSE")), "+OK\r\n");
        assert_eq!(client.reply(), "+OK\r\n");
        assert_eq!(blocked_clients(&mut operator), 0);
    }
}

#[test]
fn a_monitor_sees_commands_although_another_one_has_just_left() {
    let served = served();
    let [mut leaving, mut client] = connected(served.address());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                leaving.send(lines("MONITOR \n RESET"));
                assert_eq!(leaving.reply(), "+OK\r\n");
                while leaving.reply() != "+RESET\r\n" {}
            }
        });
        for round in 0..100 {
            let mut monitor = RawClient::connect(served.address());
            assert_eq!(monitor.ask(line("MONITOR")), "+OK\r\n");
            client.ask(line(&format!("ECHO round{round}")));
            let shown = format!("\"ECHO\" \"round{round}\"\r\n");
            while !monitor.reply().ends_with(shown.as_bytes()) {}
        }
        is_over.store(true, Relaxed);
    });
}

/// Two workers change a setting at the same time: what it switches on or off follows the value that is left.
#[test]
fn the_last_change_of_a_setting_takes_effect() {
    let served = served();
    let [mut operator, mut other] = connected(served.address());
    for _ in 0..200 {
        operator.send(line("CONFIG SET slowlog-log-slower-than 0"));
        other.send(line("CONFIG SET slowlog-log-slower-than -1"));
        assert_eq!([operator.reply(), other.reply()], ["+OK\r\n"; 2]);
        let value = operator.ask(line("CONFIG GET slowlog-log-slower-than"));
        let is_on = value.ends_with(b"$1\r\n0\r\n");
        operator.ask(line("SLOWLOG RESET"));
        operator.ask(line("PING"));
        assert_eq!(operator.ask(line("SLOWLOG LEN")) != ":0\r\n", is_on, "{value:?}");
    }
}
