use super::{OK, open_to_operators, open_with};
use crate::support::{
    Folder, RawClient, Served, app, client_list, eventually, exchange, gated, line, lines, listed, report,
    request,
};

const FIELDS: &str = "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem \
                      multi-mem rbs rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver";

#[test]
fn client_list_has_the_fields_of_redis_in_their_order() {
    let served = open_to_operators();
    let mut client = RawClient::connect(served.address());
    client.let_server_read();
    let of_list = client_list(&mut client, "").pop().expect("one line");
    let names: Vec<&str> = of_list.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, FIELDS.split_ascii_whitespace().collect::<Vec<_>>());
    let address = client.local_address();
    for (name, value) in [
        ("addr", address.as_str()),
        ("laddr", served.address()),
        ("name", ""),
        ("flags", "N"),
        ("db", "0"),
        ("qbuf", "0"),
        ("obl", "0"),
        ("omem", "0"),
        ("events", "r"),
        ("cmd", "client|list"),
        ("user", "default"),
        ("resp", "2"),
        ("lib-name", ""),
        ("lib-ver", ""),
    ] {
        assert_eq!(of_list.text(name), value, "{name}");
    }
    assert!(of_list.number("fd") > 2);
    assert_eq!(of_list.number("id"), client.id());

    let of_info = report(&mut client, "CLIENT INFO");
    assert!(of_info.ends_with('\n') && of_info.lines().count() == 1, "{of_info}");
    assert!(
        of_info.contains("cmd=client|info ") && of_info.contains(&format!("addr={address} ")),
        "{of_info}"
    );
}

#[test]
fn settings_of_a_client_are_listed() {
    let served = open_to_operators();
    let mut operator = RawClient::connect(served.address());
    let mut client = RawClient::connect(served.address());
    let id = client.id();
    client.send(lines("HELLO 3 SETNAME worker \n SELECT 7 \n CLIENT SETINFO LIB-NAME giant.rs"));
    client.replies(3);
    client.send(lines("CLIENT SETINFO LIB-VER 1.2 \n CLIENT NO-EVICT on \n CLIENT NO-TOUCH on \n GET k"));
    client.replies(4);
    let shown = listed(&mut operator, id).expect("the client is listed");
    let expected = [
        ("name", "worker"),
        ("db", "7"),
        ("resp", "3"),
        ("flags", "eT"),
        ("lib-name", "giant.rs"),
        ("lib-ver", "1.2"),
        ("cmd", "get"),
    ];
    for (name, value) in expected {
        assert_eq!(shown.text(name), value, "{name}");
    }
    client.send(line("RESET"));
    assert_eq!(client.reply(), "+RESET\r\n");
    let shown = listed(&mut operator, id).expect("the client is listed");
    for (name, value) in [("name", ""), ("db", "0"), ("resp", "2"), ("flags", "N"), ("cmd", "reset")] {
        assert_eq!(shown.text(name), value, "{name}");
    }
}

#[test]
fn monitors_paused_clients_and_unix_sockets_have_flags() {
    let folder = Folder::new();
    let address = folder.socket("list.sock");
    let bound = address.clone();
    let served = Served::with(app, move |server| server.bind(bound));
    let mut operator = RawClient::connect(served.address());
    let [mut monitor, mut paused] = [(); 2].map(|()| RawClient::connect(served.address()));
    let (monitor_id, paused_id) = (monitor.id(), paused.id());
    assert_eq!(monitor.ask(line("MONITOR")), OK);
    assert_eq!(operator.ask(line("CLIENT PAUSE 600000")), OK);
    paused.send(line("GET k"));
    eventually(|| (listed(&mut operator, paused_id)?.text("flags") == "bU").then_some(()));
    let shown = listed(&mut operator, monitor_id).expect("the client is listed");
    assert_eq!((shown.text("flags"), shown.text("cmd")), ("OU", "monitor"));
    let path = address.trim_start_matches("unix:");
    assert_eq!((shown.text("addr"), shown.text("laddr")), (&*format!("{path}:0"), &*format!("{path}:0")));
    assert_eq!(operator.ask(line("CLIENT UNPAUSE")), OK);
    assert_eq!(paused.reply(), "$-1\r\n");
    assert_eq!(listed(&mut operator, paused_id).expect("the client is listed").text("flags"), "U");
}

#[test]
fn client_list_is_sorted_and_can_be_filtered() {
    let served = open_to_operators();
    let mut clients: Vec<RawClient> = (0..20).map(|_| RawClient::connect(served.address())).collect();
    let mut ids: Vec<u64> = clients.iter_mut().map(RawClient::id).collect();
    let operator = &mut clients[7];
    let shown = |operator: &mut RawClient, options: &str| -> Vec<u64> {
        client_list(operator, options).iter().map(|line| line.number("id")).collect()
    };
    const NO_CLIENTS: [u64; 0] = [];
    ids.sort_unstable();
    assert_eq!(shown(operator, ""), ids);
    assert_eq!(shown(operator, "TYPE normal"), ids);
    assert_eq!(shown(operator, "type NORMAL"), ids);
    for class in ["pubsub", "master", "replica", "slave"] {
        assert_eq!(shown(operator, &format!("TYPE {class}")), NO_CLIENTS, "{class}");
    }
    // The list keeps the order of the request.
    assert_eq!(shown(operator, &format!("ID {} 999 {}", ids[3], ids[1])), [ids[3], ids[1]]);
    assert_eq!(shown(operator, "ID 999"), NO_CLIENTS);
    for (mistake, error) in [
        ("ID", "syntax error"),
        ("ID x", "Invalid client ID"),
        ("TYPE nope", "Unknown client type 'nope'"),
        ("TYPE", "syntax error"),
        ("NOPE", "syntax error"),
    ] {
        assert_eq!(
            operator.ask(line(&format!("CLIENT LIST {mistake}"))),
            format!("-ERR {error}\r\n"),
            "{mistake}"
        );
    }
}

#[test]
fn qbuf_counts_the_bytes_of_an_incomplete_request() {
    let served = open_to_operators();
    let mut operator = RawClient::connect(served.address());
    let mut slow = RawClient::connect(served.address());
    let id = slow.id();
    slow.send("*2\r\n$4\r\nECHO\r\n$5\r\nhe");
    let waiting = eventually(|| listed(&mut operator, id).filter(|line| line.number("qbuf") > 0));
    assert!((20..200).contains(&waiting.number("qbuf")), "{waiting:?}");
    let is_absent = listed(&mut operator, id_of_disconnected_client(&served)).is_none();
    assert!(is_absent, "disconnected clients are not listed");
    slow.send("llo\r\n");
    assert_eq!(slow.reply(), "$5\r\nhello\r\n");
    assert_eq!(listed(&mut operator, id).expect("the client is listed").number("qbuf"), 0);

    // The bytes of a large argument count as they arrive.
    slow.send("*2\r\n$4\r\nECHO\r\n$1000000\r\n");
    slow.send(vec![b'x'; 500_000]);
    eventually(|| (listed(&mut operator, id)?.number("qbuf") >= 500_000).then_some(()));
    let shown = listed(&mut operator, id).expect("the client is listed");
    assert!(shown.number("qbuf") < 600_000 && shown.number("tot-mem") >= shown.number("qbuf"), "{shown:?}");
}

/// Connects and disconnects a client, and returns its ID.
fn id_of_disconnected_client(served: &Served) -> u64 {
    let mut client = RawClient::connect(served.address());
    let id = client.id();
    client.send(line("QUIT"));
    client.rest();
    id
}

#[test]
fn obl_counts_unsent_replies() {
    let served = open_to_operators();
    let mut operator = RawClient::connect(served.address());
    assert_eq!(operator.ask(request([&b"SET"[..], b"k", &[b'x'; 16 << 20]])), OK);
    let mut slow = RawClient::connect(served.address());
    let id = slow.id();
    slow.send(line("GET k"));
    let waiting = eventually(|| listed(&mut operator, id).filter(|line| line.number("obl") > 0));
    assert_eq!((waiting.text("events"), waiting.text("omem")), ("rw", "0"));
    assert_eq!(slow.reply().len(), "$16777216\r\n\r\n".len() + (16 << 20));
    let read = eventually(|| listed(&mut operator, id).filter(|line| line.number("obl") == 0));
    assert_eq!(read.text("events"), "r");
}

#[test]
fn omem_counts_unsent_pushes() {
    let served = open_to_operators();
    let mut operator = RawClient::connect(served.address());
    let mut slow = RawClient::connect(served.address());
    let id = slow.id();
    assert_eq!(slow.ask(line("MONITOR")), OK);
    let echo = request([&b"ECHO"[..], &[b'x'; 100_000]]);
    eventually(|| {
        operator.ask(&echo);
        (listed(&mut operator, id)?.number("omem") > 100_000).then_some(())
    });
}

#[test]
fn age_and_idle_grow_with_time() {
    let (app, gatekeeper) = gated();
    let served = open_with(app);
    let mut operator = RawClient::connect(served.address());
    let [mut silent, mut waiting] = [(); 2].map(|()| RawClient::connect(served.address()));
    let ids = [silent.id(), waiting.id()];
    waiting.send(line("GATE"));
    gatekeeper.wait();
    let [silent, waiting] = eventually(|| {
        let lines = ids.map(|id| listed(&mut operator, id).expect("the client is listed"));
        (lines[0].number("idle") >= 2).then_some(lines)
    });
    assert!(silent.number("age") >= silent.number("idle"), "{silent:?}");
    // A client whose command runs is not idle.
    assert_eq!(waiting.number("idle"), 0);
    assert!(waiting.number("age") >= 2);
    gatekeeper.open();
}

#[test]
fn a_name_cannot_forge_a_line() {
    let served = open_to_operators();
    for name in ["a b", "a\nid=1", "\x7f"] {
        let error = "-ERR Client names cannot contain spaces, newlines or special characters.\r\n";
        assert_eq!(exchange(served.address(), request(["CLIENT", "SETNAME", name])), error, "{name:?}");
    }
}

/// Redis 7.2 introduced this command.
#[test]
fn no_touch_is_switched_on_and_off() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    for (switch, reply, is_on) in [
        ("NO-TOUCH on", "+OK\r\n", true),
        ("NO-TOUCH x", "-ERR syntax error\r\n", true),
        ("NO-TOUCH OFF", "+OK\r\n", false),
        ("NO-TOUCH", "-ERR wrong number of arguments for 'client|no-touch' command\r\n", false),
        ("no-touch ON", "+OK\r\n", true),
    ] {
        assert_eq!(client.ask(line(&format!("CLIENT {switch}"))), reply, "{switch}");
        let shown = client.ask(line("CLIENT INFO"));
        let flags = if is_on { " flags=T " } else { " flags=N " };
        assert!(String::from_utf8_lossy(&shown).contains(flags), "{switch}: {shown:?}");
    }
}
