use super::{OK, PONG, open_to_operators, open_with};
use crate::support::{
    Folder, RawClient, Served, app, client_list, eventually, gated, line, lines, listed, request,
};

const NO_SUCH_CLIENT: &str = "-ERR No such client\r\n";

/// Kills the only client that matches these filters.
fn kill_one(operator: &mut RawClient, filters: &str) {
    assert_eq!(operator.ask(line(&format!("CLIENT KILL {filters}"))), ":1\r\n", "{filters}");
}

#[test]
fn a_client_is_killed_by_id_and_by_either_address() {
    let served = open_to_operators();
    let mut operator = RawClient::connect(served.address());
    let [mut a, mut b, mut c] = [(); 3].map(|()| RawClient::connect(served.address()));
    let id = a.id();
    kill_one(&mut operator, &format!("ID {id}"));
    assert_eq!(a.rest(), "");
    b.id();
    kill_one(&mut operator, &format!("ADDR {}", b.local_address()));
    assert_eq!(b.rest(), "");
    c.id();
    assert_eq!(operator.ask(line(&format!("CLIENT KILL {}", c.local_address()))), OK);
    assert_eq!(c.rest(), "");

    let mut others = [(); 3].map(|()| RawClient::connect(served.address()));
    others.iter_mut().for_each(|client| client.let_server_read());
    assert_eq!(operator.ask(line(&format!("CLIENT KILL LADDR {}", served.address()))), ":3\r\n");
    others.iter_mut().for_each(|client| assert_eq!(client.rest(), ""));
    assert_eq!(client_list(&mut operator, "").len(), 1);
}

#[test]
fn a_client_on_a_unix_socket_is_killed_by_address() {
    let folder = Folder::new();
    let address = folder.socket("kill.sock");
    let bound = address.clone();
    let served = Served::with(app, move |server| server.bind(bound));
    let mut operator = RawClient::connect(served.address());
    let mut victim = RawClient::connect(served.address());
    victim.let_server_read();
    let path = address.trim_start_matches("unix:");
    kill_one(&mut operator, &format!("ADDR {path}:0 LADDR {path}:0"));
    assert_eq!(victim.rest(), "");
}

#[test]
fn only_clients_that_match_all_filters_are_killed() {
    let served = open_to_operators();
    let mut operator = RawClient::connect(served.address());
    let mut bystander = RawClient::connect(served.address());
    let (id, address) = (bystander.id(), bystander.local_address());
    for filters in [
        format!("ID {id} ADDR 127.0.0.1:1"),
        format!("ID {} ADDR {address}", id + 1),
        format!("ID {id} TYPE pubsub"),
        format!("ADDR {address} TYPE master"),
        format!("LADDR {address}"),
        "TYPE replica".to_owned(),
        "TYPE slave".to_owned(),
        "ID 999999".to_owned(),
        "MAXAGE 100000".to_owned(),
    ] {
        assert_eq!(operator.ask(line(&format!("CLIENT KILL {filters}"))), ":0\r\n", "{filters}");
    }
    for (mistake, error) in [
        ("127.0.0.1:1", "No such client"),
        ("nonsense", "No such client"),
        ("ID 0", "client-id should be greater than 0"),
        ("ID x", "client-id should be greater than 0"),
        ("TYPE nope", "Unknown client type 'nope'"),
        ("USER nobody", "No such user 'nobody'"),
        ("SKIPME maybe", "syntax error"),
        ("MAXAGE 0", "maxage should be greater than 0"),
        ("MAXAGE -1", "maxage should be greater than 0"),
        ("MAXAGE x", "maxage is not an integer or out of range"),
        ("ID", "No such client"),
        ("ID 1 ADDR", "syntax error"),
        ("NOPE 1", "syntax error"),
    ] {
        let error = format!("-ERR {error}\r\n");
        assert_eq!(operator.ask(line(&format!("CLIENT KILL {mistake}"))), error, "{mistake}");
    }
    assert_eq!(bystander.ask(line("PING")), PONG);
    kill_one(
        &mut operator,
        &format!("ID {id} ADDR {address} LADDR {} TYPE normal USER default", served.address()),
    );
    assert_eq!(bystander.rest(), "");
}

/// As in Redis 7.4, with which the tests cannot compare.
#[test]
fn old_clients_are_killed() {
    let served = open_to_operators();
    let [mut operator, mut bystander] = [(); 2].map(|()| RawClient::connect(served.address()));
    assert_eq!(bystander.ask(line("PING")), PONG);
    eventually(|| (operator.ask(line("CLIENT KILL MAXAGE 1")) == ":1\r\n").then_some(()));
    assert_eq!(bystander.rest(), "");
}

/// A client that kills itself gets this reply and the earlier ones. Its later requests do not run.
#[test]
fn a_client_kills_itself() {
    let served = open_to_operators();
    let connect = || RawClient::connect(served.address());
    let mut me = connect();
    me.let_server_read();
    assert_eq!(me.ask(line("CLIENT KILL TYPE normal")), ":0\r\n");
    assert_eq!(me.ask(line("CLIENT KILL TYPE normal SKIPME YES")), ":0\r\n");
    me.send(lines("FIRST a \n CLIENT KILL TYPE normal SKIPME no \n FIRST b"));
    assert_eq!(me.rest(), "$7\r\nfirst a\r\n:1\r\n");

    let mut me = connect();
    me.send(line(&format!("CLIENT KILL {}", me.local_address())));
    assert_eq!(me.rest(), OK);
    let mut me = connect();
    let id = me.id();
    assert_eq!(me.ask(line(&format!("CLIENT KILL ID {id}"))), ":0\r\n");
    me.send(line(&format!("CLIENT KILL ID {id} SKIPME no")));
    assert_eq!(me.rest(), ":1\r\n");
}

/// A killed client no longer exists for the next command of the same segment.
#[test]
fn no_client_is_killed_twice() {
    let served = open_to_operators();
    let mut operator = RawClient::connect(served.address());
    let mut victim = RawClient::connect(served.address());
    let (id, address) = (victim.id(), victim.local_address());
    let kills = format!("CLIENT KILL ID {id} \n CLIENT KILL ID {id} \n CLIENT KILL {address}");
    operator.send(lines(&kills));
    assert_eq!(operator.replies(3), format!(":1\r\n:0\r\n{NO_SUCH_CLIENT}"));
    assert_eq!(victim.rest(), "");
}

#[test]
fn a_client_whose_command_runs_is_killed() {
    let (app, gatekeeper) = gated();
    let served = open_with(app);
    let mut operator = RawClient::connect(served.address());
    let mut waiting = RawClient::connect(served.address());
    let id = waiting.id();
    waiting.send(lines("FIRST a \n GATE \n FIRST b"));
    gatekeeper.wait();
    kill_one(&mut operator, &format!("ID {id}"));
    // The connection is closed although the actor still runs the command.
    assert_eq!(waiting.rest(), "");
    assert_eq!(client_list(&mut operator, "").len(), 1);
    gatekeeper.open();
    // The actor's late reply is dropped.
    operator.send(line("GATE"));
    gatekeeper.wait();
    gatekeeper.open();
    assert_eq!(operator.reply(), "+through\r\n");
}

#[test]
fn a_client_whose_reply_is_half_written_is_killed() {
    let served = open_to_operators();
    let mut operator = RawClient::connect(served.address());
    let value = vec![b'x'; 32 << 20];
    assert_eq!(operator.ask(request([&b"SET"[..], b"k", &value])), OK);
    let mut reading = RawClient::connect(served.address());
    let id = reading.id();
    reading.send(lines("GET k \n PING"));
    eventually(|| (listed(&mut operator, id)?.number("obl") > 0).then_some(()));
    kill_one(&mut operator, &format!("ID {id}"));
    assert!(reading.rest().len() < value.len());
    assert_eq!(client_list(&mut operator, "").len(), 1);
}

#[test]
fn clients_with_a_partial_request_and_paused_clients_are_killed() {
    let served = open_to_operators();
    let mut operator = RawClient::connect(served.address());
    let [mut partial, mut paused] = [(); 2].map(|()| RawClient::connect(served.address()));
    let ids = [partial.id(), paused.id()];
    partial.send("*2\r\n$4\r\nECHO\r\n$100\r\nx");
    assert_eq!(operator.ask(line("CLIENT PAUSE 600000")), OK);
    paused.send(line("PING"));
    eventually(|| (listed(&mut operator, ids[1])?.text("flags") == "b").then_some(()));
    for id in ids {
        kill_one(&mut operator, &format!("ID {id}"));
    }
    assert_eq!((partial.rest(), paused.rest()), ("".into(), "".into()));
}

/// All clients kill all clients at the same time. Each connection ends, and the server goes on.
#[test]
fn clients_kill_each_other() {
    let served = open_to_operators();
    let mut clients: Vec<RawClient> = (0..50).map(|_| RawClient::connect(served.address())).collect();
    clients.iter_mut().for_each(RawClient::let_server_read);
    for client in &mut clients {
        client.send(lines("FIRST a \n CLIENT KILL TYPE normal SKIPME no \n FIRST b"));
    }
    for client in &mut clients {
        let rest = client.rest();
        assert!(rest.is_empty() || rest.starts_with(b"$7\r\nfirst a\r\n"), "{rest:?}");
    }
    let mut successor = RawClient::connect(served.address());
    eventually(|| (client_list(&mut successor, "").len() == 1).then_some(()));
}
