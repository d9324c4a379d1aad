use std::thread;

use super::set;
use crate::support::{
    ANY_PORT, Process, RawClient, Served, allow_many_connections, app, client_list, eventually, info, line,
    lines, listed, request,
};
use thegiant::Limits;

const OK: &str = "+OK\r\n";
const MIB: usize = 1 << 20;

/// Sends `bytes` of an incomplete request. Returns the client and its ID.
fn client_with_partial_request(served: &Served, operator: &mut RawClient, bytes: usize) -> (RawClient, u64) {
    let mut client = RawClient::connect(served.address());
    let id = client.id();
    client.send(format!("*2\r\n$4\r\nECHO\r\n${}\r\n", 64 * MIB));
    // The server may close the client before it has sent everything.
    let _ = client.try_send(vec![b'x'; bytes]);
    eventually(|| listed(operator, id).is_none_or(|line| line.number("qbuf") >= bytes as u64).then_some(()));
    (client, id)
}

fn memory(operator: &mut RawClient) -> u64 {
    info(operator, "memory").number("mem_clients_normal")
}

fn evicted(operator: &mut RawClient) -> u64 {
    info(operator, "stats").number("evicted_clients")
}

#[test]
fn the_client_with_most_memory_is_evicted_first() {
    let served =
        Served::with(app, |server| server.limits(Limits::new().client_memory(16 * MIB)).bind(ANY_PORT));
    let mut operator = RawClient::connect(served.address());
    let (mut small, _) = client_with_partial_request(&served, &mut operator, 2 * MIB);
    let (mut big, big_id) = client_with_partial_request(&served, &mut operator, 8 * MIB);
    let (_medium, medium_id) = client_with_partial_request(&served, &mut operator, 4 * MIB);
    assert_eq!(evicted(&mut operator), 0);
    let (_last, last_id) = client_with_partial_request(&served, &mut operator, 5 * MIB);
    eventually(|| listed(&mut operator, big_id).is_none().then_some(()));
    assert_eq!(big.rest(), "");
    assert!(listed(&mut operator, medium_id).is_some() && listed(&mut operator, last_id).is_some());
    assert_eq!(evicted(&mut operator), 1);
    assert!((11 * MIB as u64..16 * MIB as u64).contains(&memory(&mut operator)));
    // The small client may continue its request, or be closed during it.
    let _ = small.try_send(vec![b'x'; 6 * MIB]);
    eventually(|| (client_list(&mut operator, "").len() < 5).then_some(()));
}

#[test]
fn replies_count_as_client_memory() {
    let served =
        Served::with(app, |server| server.limits(Limits::new().client_memory(40 * MIB)).bind(ANY_PORT));
    let mut operator = RawClient::connect(served.address());
    assert_eq!(operator.ask(request([&b"SET"[..], b"k", &[b'x'; 16 * MIB]])), OK);
    let mut slow: Vec<RawClient> = (0..6).map(|_| RawClient::connect(served.address())).collect();
    for client in &mut slow {
        client.send(line("GET k"));
    }
    eventually(|| (evicted(&mut operator) >= 3).then_some(()));
    assert!(memory(&mut operator) <= 40 * MIB as u64);
    drop(slow);
    eventually(|| (memory(&mut operator) == 0).then_some(()));
}

/// To close other clients would not make the buffers of this client smaller.
#[test]
fn a_client_with_no_evict_is_kept_and_does_not_count() {
    let served =
        Served::with(app, |server| server.limits(Limits::new().client_memory(16 * MIB)).bind(ANY_PORT));
    let mut operator = RawClient::connect(served.address());
    let mut others: Vec<_> = (0..10).map(|_| RawClient::connect(served.address())).collect();
    for other in &mut others {
        other.send(lines("WATCH k \n SUBSCRIBE news"));
        other.replies(2);
    }
    let (_medium, medium_id) = client_with_partial_request(&served, &mut operator, 7 * MIB);
    let mut kept = RawClient::connect(served.address());
    let kept_id = kept.id();
    assert_eq!(kept.ask(line("CLIENT NO-EVICT on")), OK);
    kept.send(format!("*2\r\n$4\r\nECHO\r\n${}\r\n", 24 * MIB));
    kept.send(vec![b'x'; 20 * MIB]);
    eventually(|| listed(&mut operator, kept_id).filter(|line| line.number("qbuf") >= 20 * MIB as u64));
    assert_eq!(operator.ask(line("PUBLISH news x")), ":10\r\n");
    for other in &mut others {
        assert_eq!(other.reply(), "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    }
    assert_eq!(evicted(&mut operator), 0);
    // Among the other clients, the limit still applies.
    let (_large, large_id) = client_with_partial_request(&served, &mut operator, 10 * MIB);
    eventually(|| listed(&mut operator, large_id).is_none().then_some(()));
    assert!(listed(&mut operator, medium_id).is_some());
    assert_eq!(evicted(&mut operator), 1);
    kept.send(vec![b'x'; 4 * MIB]);
    kept.send("\r\n");
    assert_eq!(kept.reply().len(), 24 * MIB + "$25165824\r\n\r\n".len());
    // The client can be evicted again.
    assert_eq!(kept.ask(line("CLIENT NO-EVICT off")), OK);
    kept.send(format!("*2\r\n$4\r\nECHO\r\n${}\r\n", 64 * MIB));
    let _ = kept.try_send(vec![b'x'; 20 * MIB]);
    assert_eq!(kept.rest(), "");
}

#[test]
fn no_evict_moves_the_memory_that_a_client_has() {
    let served =
        Served::with(app, |server| server.limits(Limits::new().client_memory(16 * MIB)).bind(ANY_PORT));
    let mut operator = RawClient::connect(served.address());
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(request([b"WATCH".to_vec(), vec![b'k'; 10 * MIB]])), OK);
    for _ in 0..3 {
        client.send(lines(
            "CLIENT NO-EVICT on \n CLIENT NO-EVICT on \n CLIENT NO-EVICT off \n CLIENT NO-EVICT on",
        ));
        client.replies(4);
        let (other, other_id) = client_with_partial_request(&served, &mut operator, 14 * MIB);
        assert!(listed(&mut operator, other_id).is_some());
        drop(other);
        // The next client would exceed the limit together with this one.
        eventually(|| (client_list(&mut operator, "").len() == 2).then_some(()));
    }
    // `RESET` also switches `NO-EVICT` off.
    client.send(lines("RESET \n RESET"));
    client.replies(2);
    assert_eq!(client.ask(request([b"WATCH".to_vec(), vec![b'k'; 10 * MIB]])), OK);
    assert_eq!(evicted(&mut operator), 0);
    let (_other, other_id) = client_with_partial_request(&served, &mut operator, 8 * MIB);
    assert_eq!(client.rest(), "");
    assert!(listed(&mut operator, other_id).is_some());
    assert_eq!(evicted(&mut operator), 1);
    assert!((8 * MIB as u64..9 * MIB as u64).contains(&memory(&mut operator)));
}

/// The client that switches `NO-EVICT` off has more memory than all clients may have.
#[test]
fn the_limit_applies_at_once_when_no_evict_is_switched_off() {
    let served =
        Served::with(app, |server| server.limits(Limits::new().client_memory(16 * MIB)).bind(ANY_PORT));
    let mut operator = RawClient::connect(served.address());
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("CLIENT NO-EVICT on")), OK);
    assert_eq!(client.ask(request([b"WATCH".to_vec(), vec![b'k'; 20 * MIB]])), OK);
    client.send(line("CLIENT NO-EVICT off"));
    client.rest();
    assert_eq!((evicted(&mut operator), memory(&mut operator)), (1, 0));
}

#[test]
fn names_and_tracking_prefixes_count_as_client_memory() {
    let served =
        Served::with(app, |server| server.limits(Limits::new().client_memory(16 * MIB)).bind(ANY_PORT));
    let mut operator = RawClient::connect(served.address());
    let large = "x".repeat(10 * MIB);
    for (set, unset) in [
        ("CLIENT SETNAME", request(["CLIENT", "SETNAME", ""])),
        ("HELLO 2 SETNAME", line("RESET")),
        ("CLIENT SETINFO LIB-NAME", request(["CLIENT", "SETINFO", "LIB-NAME", ""])),
        ("CLIENT SETINFO LIB-VER", request(["CLIENT", "SETINFO", "LIB-VER", ""])),
        ("CLIENT TRACKING ON BCAST PREFIX", line("CLIENT TRACKING OFF")),
    ] {
        let set = request(set.split(' ').chain([&large[..]]));
        let mut client = RawClient::connect(served.address());
        client.ask(&set);
        assert!((10 * MIB as u64..11 * MIB as u64).contains(&memory(&mut operator)));
        client.ask(unset);
        assert_eq!(memory(&mut operator), 0);
        client.ask(&set);
        let before = evicted(&mut operator);
        let mut other = RawClient::connect(served.address());
        other.send(&set);
        // The other client is closed, too, if its name is set before its request is dropped.
        eventually(|| (evicted(&mut operator) > before).then_some(()));
        drop([client, other]);
        eventually(|| (client_list(&mut operator, "").len() == 1).then_some(()));
        assert_eq!(memory(&mut operator), 0);
    }
}

#[test]
fn subscriptions_count_as_much_client_memory_as_they_use() {
    for command in ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"] {
        let kv = Process::program("kv");
        let mut operator = RawClient::connect(kv.address());
        let mut client = RawClient::connect(kv.address());
        let requests: Vec<Vec<u8>> = (0..200_000)
            .step_by(1000)
            .map(|first| {
                let names =
                    (first..first + 1000).map(|number| format!(" name{number:06}")).collect::<String>();
                line(&format!("{command}{names}"))
            })
            .collect();
        let before = kv.resident() as u64 * 1024;
        for request in &requests {
            client.send(request);
            client.replies(1000);
        }
        let used = kv.resident() as u64 * 1024 - before;
        let counted = memory(&mut operator);
        assert!(
            counted * 3 > used * 2 && used * 3 > counted * 2,
            "{counted} bytes for {command}, which uses {used} bytes"
        );
        set(&mut operator, "maxmemory-clients", &(counted / 2).to_string());
        assert_eq!(client.rest(), "");
        assert_eq!((evicted(&mut operator), memory(&mut operator)), (1, 0));
        // Another client is closed before it has as many subscriptions.
        let mut client = RawClient::connect(kv.address());
        let requests: Vec<&[u8]> = requests.iter().map(|request| &request[..]).collect();
        client.while_sending(&requests, RawClient::rest);
        eventually(|| (evicted(&mut operator) == 2).then_some(()));
    }
}

#[test]
fn a_client_with_many_short_prefixes_is_closed() {
    let served = Served::with(app, |server| server.limits(Limits::new().client_memory(MIB)).bind(ANY_PORT));
    let mut operator = RawClient::connect(served.address());
    let mut greedy = RawClient::connect(served.address());
    for first in (0..10_000).step_by(1000) {
        let prefixes = (first..first + 1000).map(|number| format!(" PREFIX {number:05}")).collect::<String>();
        // The server closes the client before the last request.
        let _ = greedy.try_send(line(&format!("CLIENT TRACKING ON BCAST{prefixes}")));
    }
    eventually(|| (client_list(&mut operator, "").len() == 1).then_some(()));
    assert_eq!(info(&mut operator, "stats").number("tracking_total_prefixes"), 0);
    assert_eq!(evicted(&mut operator), 1);
}

#[test]
fn a_lower_limit_applies_at_once() {
    let served = Served::start(app);
    let mut operator = RawClient::connect(served.address());
    let (mut big, _) = client_with_partial_request(&served, &mut operator, 8 * MIB);
    let (_small, small_id) = client_with_partial_request(&served, &mut operator, 2 * MIB);
    set(&mut operator, "maxmemory-clients", "4mb");
    assert_eq!(big.rest(), "");
    assert!(listed(&mut operator, small_id).is_some());
    assert_eq!(evicted(&mut operator), 1);
    set(&mut operator, "maxmemory-clients", "0");
    let (_big, big_id) = client_with_partial_request(&served, &mut operator, 8 * MIB);
    assert!(listed(&mut operator, big_id).is_some());
}

/// The server accounts for all memory, whatever the clients did and however they disconnected.
#[test]
fn no_memory_is_counted_after_all_clients_have_disconnected() {
    allow_many_connections();
    let served =
        Served::with(app, |server| server.limits(Limits::new().client_memory(64 * MIB)).bind(ANY_PORT));
    let mut operator = RawClient::connect(served.address());
    assert_eq!(operator.ask(request([&b"SET"[..], b"k", &vec![b'x'; 4 * MIB]])), OK);
    thread::scope(|scope| {
        for thread in 0..4 {
            let address = served.address();
            scope.spawn(move || (0..60).for_each(|number| leave_unfinished(address, thread * 60 + number)));
        }
    });
    eventually(|| (client_list(&mut operator, "").len() == 1).then_some(()));
    assert_eq!(memory(&mut operator), 0);
}

/// Leaves a request or a reply unfinished, in one of several ways.
fn leave_unfinished(address: &str, number: usize) {
    let mut client = RawClient::connect(address);
    // The server may have evicted the client.
    let _ = match number % 6 {
        0 => client.try_send("*2\r\n$4\r\nECHO\r\n$100\r\nx"),
        1 => client
            .try_send("*2\r\n$4\r\nECHO\r\n$4000000\r\n")
            .and_then(|()| client.try_send(vec![b'x'; 3_000_000])),
        2 => client.try_send(lines("GET k \n GET k \n GET k")),
        3 => client.try_send(lines("MONITOR \n GET k \n FIRST a")),
        4 => client.try_send([line("FIRST a"), b"*2\r\n$4\r\nECHO\r\n$1".to_vec()].concat()),
        _ => client.try_send([line("GET k"), b"*3\r\n$1\r\n!".to_vec()].concat()),
    };
    if number % 6 > 1 {
        let _ = client.try_reply();
    }
    if number.is_multiple_of(2) {
        client.reset();
    }
}
