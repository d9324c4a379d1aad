use crate::support::{Pair, Process, RawClient, Reply, Served, app, line, lines, request};

/// Conversations that a real redis-server answers with the same bytes.
const CONVERSATIONS: &[&str] = &[
    "PING \n ping hello \n PING a b",
    "ECHO hello \n ECHO \n ECHO a b \n echo x",
    "SELECT 0 \n SELECT 15 \n SELECT 16 \n SELECT -1 \n SELECT abc \n SELECT 99999999999 \n SELECT \n SELECT 1 2",
    "SELECT 9223372036854775808 \n SELECT 2147483648 \n SELECT -2147483649 \n SELECT 2147483647",
    "QUIT \n PING",
    "PING \n QUIT now please \n PING",
    "RESET \n RESET now \n PING",
    "HELLO 2 \n HELLO 3 \n PING",
    "HELLO 3 \n RESET \n PING",
    "HELLO \n HELLO 3 \n HELLO",
    "HELLO 1 \n HELLO 4 \n HELLO 0 \n HELLO -3 \n HELLO abc \n HELLO 03 \n HELLO 99999999999999999999",
    "HELLO 3 AUTH \n HELLO 3 AUTH default \n HELLO 3 SETNAME \n HELLO 3 NOPE \n HELLO 3 nope x",
    "HELLO 3 AUTH default x SETNAME \n HELLO 3 AUTH default any SETNAME me \n CLIENT GETNAME",
    "HELLO 3 AUTH other x \n PING",
    "HELLO 2 SETNAME me AUTH default x NOPE",
    "HELLO 3 SETNAME a SETNAME b \n CLIENT GETNAME",
    "HELLO 4 NOPE \n HELLO abc SETNAME \n AUTH x \n HELLO nope nope",
    "AUTH \n AUTH x \n AUTH default x \n AUTH other x \n AUTH a b c",
    "CLIENT \n CLIENT NOPE \n CLIENT nope a \n client getname \n CLIENT GETNAME x",
    "CLIENT SETNAME \n CLIENT SETNAME a b \n CLIENT SETNAME me \n CLIENT GETNAME \n RESET \n CLIENT GETNAME",
    "CLIENT ID x",
    "HELLO 3 \n CLIENT GETNAME \n CLIENT SETNAME me \n CLIENT GETNAME",
    "NOPE \n NOPE a \n nope a b c d \n Config",
    "COMMAND NOPE \n COMMAND nope x \n COMMAND COUNT x \n COMMAND GETKEYS \n COMMAND INFO NOPE",
    "COMMAND GETKEYS GET k \n COMMAND GETKEYS SET k v \n COMMAND GETKEYS MSET a 1 b 2 c 3 \n COMMAND GETKEYS DEL a b",
    "COMMAND GETKEYS NOPE k \n COMMAND GETKEYS PING x \n COMMAND GETKEYS GET \n COMMAND GETKEYS GET a b",
    "COMMAND GETKEYS get k \n COMMAND GETKEYS MSET a 1 b \n COMMAND GETKEYS ECHO x \n COMMAND GETKEYS CONFIG GET x",
    "COMMAND LIST FILTERBY \n COMMAND LIST FILTERBY NOPE x \n COMMAND LIST FILTERBY PATTERN \n COMMAND LIST x",
    "COMMAND LIST FILTERBY PATTERN ge[t] \n COMMAND LIST FILTERBY PATTERN nope* \n COMMAND LIST FILTERBY MODULE nope",
    "COMMAND DOCS NOPE \n HELLO 3 \n COMMAND DOCS NOPE \n COMMAND INFO NOPE",
    "CONFIG \n CONFIG NOPE \n CONFIG GET \n CONFIG GET nope \n CONFIG GET maxclientz*",
    "CONFIG GET save \n CONFIG GET appendonly \n CONFIG GET timeout \n CONFIG GET databases",
    "CONFIG GET TIMEOUT \n CLIENT HELP x \n COMMAND GETKEYS COMMAND NOPE \n HELLO 3 SETNAME \u{e9} AUTH other x",
    "HELLO 3 \n CONFIG GET save \n CONFIG GET proto-max-bulk-le? \n CONFIG GET nope",
];

/// What differs between two servers: the client's number and the version.
fn without_identity(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(reply);
    let mut lines: Vec<&str> = text.split("\r\n").collect();
    for at in 1..lines.len() {
        match lines[at - 1] {
            "id" => lines[at] = ":ID",
            "version" => (lines[at], lines[at + 1]) = ("$LENGTH", "VERSION"),
            _ => {}
        }
    }
    lines.join("\r\n")
}

#[test]
fn replies_are_those_of_redis() {
    let pair = Pair::start();
    for conversation in CONVERSATIONS {
        let [actual, expected] = pair.exchange(&lines(conversation));
        assert_eq!(without_identity(&actual), without_identity(&expected), "{conversation}");
    }
}

#[test]
fn replies_to_odd_bytes_are_those_of_redis() {
    let pair = Pair::start();
    let long = "x".repeat(200);
    let conversations: &[&[&[u8]]] = &[
        &[b"PING", b"a\r\nb\0c\xff"],
        &[b"ECHO", b""],
        &[b""],
        &[b"", b"", b""],
        &[b"NO\0PE", b"a\0b", b"c"],
        &[b"NO\xffPE", b"a\xffb", b"\xc3", b"\xa9"],
        &[b"CLIENT", b"\xff"],
        &[b"HELLO", b"3", b"\xff"],
        &[b"NO\r\nPE", b"a\r\nb", b"\r", b"\n"],
        &[b"a'b", b"c'd"],
        &[b"a\tb\x07", b"\x01\x7f"],
        &["\u{e9}\u{20ac}".as_bytes(), "\u{1f600}".as_bytes()],
        &[long.as_bytes()],
        &[long.as_bytes(), long.as_bytes()],
        &[b"NOPE", &long.as_bytes()[..127], b"b", b"c"],
        &[b"NOPE", &long.as_bytes()[..100], &long.as_bytes()[..100], b"c"],
        &[b"NOPE", &long.as_bytes()[..128]],
        &[&long.as_bytes()[..128], b"a"],
        &[&long.as_bytes()[..129], b"a"],
        &[
            b"NOPE", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9", b"10", b"11", b"12", b"13", b"14",
            b"15",
        ],
        &[b"CLIENT", long.as_bytes()],
        &[b"CLIENT", b"a\0b"],
        &[b"CLIENT", b"a\r\nb"],
        &[b"CLIENT", b""],
        &[b"CLIENT", b"SETNAME", b"a b"],
        &[b"CLIENT", b"SETNAME", b"a\nb"],
        &[b"CLIENT", b"SETNAME", b"\xc3\xa9"],
        &[b"CLIENT", b"SETNAME", b""],
        &[b"CLIENT", b"SETNAME", b"~!"],
        &[b"HELLO", b"3", b"SETNAME", b"a b"],
        &[b"HELLO", b"3", b"a\r\nb"],
        &[b"HELLO", b"3", b"a\0b"],
        &[b"HELLO", b"3", long.as_bytes()],
        &[b"SELECT", b"1\0"],
        &[b"SELECT", b""],
        &[b"AUTH", b"default", b"\0"],
        &[b"COMMAND", b"INFO", b"a\0b"],
    ];
    for words in conversations {
        pair.assert_same(request(*words));
    }
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Simple(bytes) | Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?} is no text"),
    }
}

fn elements(reply: Reply) -> Vec<Reply> {
    match reply {
        Reply::Array(elements) | Reply::Set(elements) => elements,
        other => panic!("{other:?} has no elements"),
    }
}

fn ask(client: &mut RawClient, request: &str) -> Reply {
    Reply::only(&client.ask(line(request))).expect("a well-formed reply")
}

/// What `COMMAND INFO` says of a command: its name, its arity, its flags in order, its keys.
fn info(client: &mut RawClient, name: &str) -> (String, Reply, Vec<String>, Vec<Reply>) {
    let infos = elements(ask(client, &format!("COMMAND INFO {name}")));
    let fields = elements(infos.into_iter().next().expect("one command was asked for"));
    assert_eq!(fields.len(), 10);
    let mut flags: Vec<String> = elements(fields[2].clone()).iter().map(text).collect();
    flags.sort();
    (text(&fields[0]), fields[1].clone(), flags, fields[3..6].to_vec())
}

#[test]
fn command_info_is_computed_from_the_signatures() {
    let redis = Process::redis();
    let kv = Process::example("kv");
    let mut redis = RawClient::connect(redis.address());
    let mut kv = RawClient::connect(kv.address());
    for name in
        ["get", "set", "mset", "del", "strlen", "incrby", "rename", "copy", "exists", "getrange", "scan"]
    {
        let (expected, actual) = (info(&mut redis, name), info(&mut kv, name));
        assert_eq!((&actual.0, &actual.1, &actual.3), (&expected.0, &expected.1, &expected.3), "{name}");
    }
    for name in
        ["ping", "echo", "select", "hello", "auth", "reset", "quit", "client|setname", "command|count"]
    {
        let (expected, actual) = (info(&mut redis, name), info(&mut kv, name));
        assert_eq!((actual.0, actual.1, actual.3), (expected.0, expected.1, expected.3), "{name}");
    }
}

#[test]
fn command_lists_what_there_is() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    let all = elements(ask(&mut client, "COMMAND"));
    assert_eq!(ask(&mut client, "COMMAND COUNT"), Reply::Integer(all.len() as i64));
    let top: Vec<String> = all.into_iter().map(|info| text(&elements(info)[0])).collect();
    let mut listed: Vec<String> = elements(ask(&mut client, "COMMAND LIST")).iter().map(text).collect();
    for name in ["first", "second", "forget", "panic.late", "ping", "hello", "client", "command", "config"] {
        assert!(top.iter().any(|top| top == name), "{name}");
    }
    listed.retain(|name| !name.contains('|'));
    assert_eq!(listed, top);
    let filtered = elements(ask(&mut client, "COMMAND LIST FILTERBY PATTERN *first*"));
    assert_eq!(filtered.iter().map(text).collect::<Vec<_>>(), ["first", "first.stop"]);
    assert_eq!(ask(&mut client, "COMMAND LIST FILTERBY MODULE any"), Reply::Array(Vec::new()));
    let written = elements(ask(&mut client, "COMMAND LIST FILTERBY ACLCAT write"));
    assert!(written.iter().map(text).any(|name| name == "mset"));
    assert!(!written.iter().map(text).any(|name| name == "get"));
}

/// The value of a field of a map of RESP3.
fn field<'r>(map: &'r Reply, name: &str) -> Option<&'r Reply> {
    let Reply::Map(pairs) = map else { panic!("{map:?} is no map") };
    pairs.iter().find(|(key, _)| text(key) == name).map(|(_, value)| value)
}

#[test]
fn command_docs_come_from_the_comments_and_the_signatures() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    client.ask(line("HELLO 3"));
    let docs = ask(&mut client, "COMMAND DOCS MSET NOPE");
    let mset = field(&docs, "mset").expect("its docs");
    assert_eq!(field(mset, "summary").map(text).as_deref(), Some("Sets several values"));
    assert_eq!(field(mset, "group").map(text).as_deref(), Some("first"));
    let arguments = elements(field(mset, "arguments").expect("its arguments").clone());
    let [pairs] = &arguments[..] else { panic!("{arguments:?}") };
    assert_eq!(field(pairs, "name").map(text).as_deref(), Some("pair"));
    assert_eq!(field(pairs, "type").map(text).as_deref(), Some("block"));
    let parts = elements(field(pairs, "arguments").expect("its parts").clone());
    assert_eq!(
        parts.iter().map(|part| text(field(part, "type").expect("a type"))).collect::<Vec<_>>(),
        ["key", "string"]
    );
    assert_eq!(field(&docs, "nope"), None);
}

#[test]
fn every_client_has_a_number_of_its_own() {
    let served = Served::start(app);
    let mut ids: Vec<_> = (0..10)
        .map(|_| {
            let mut client = RawClient::connect(served.address());
            let id = client.ask(line("CLIENT ID"));
            assert_eq!(client.ask(line("CLIENT ID")), id);
            id
        })
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 10);
}

#[test]
fn client_libraries_introduce_themselves() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("CLIENT SETINFO LIB-NAME redis-py")), "+OK\r\n");
    assert_eq!(client.ask(line("CLIENT SETINFO lib-ver 1.2.3")), "+OK\r\n");
    assert_eq!(
        client.ask(request(["CLIENT", "SETINFO", "LIB-NAME", "a b"])),
        "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n"
    );
    for wrong in
        ["CLIENT SETINFO", "CLIENT SETINFO LIB-NAME", "CLIENT SETINFO NOPE x", "CLIENT SETINFO LIB-VER 1 2"]
    {
        assert!(client.ask(line(wrong)).starts_with(b"-ERR "), "{wrong}");
    }
}

/// Whole handshakes, as today's clients send them: in one segment, errors among the replies.
#[test]
fn handshakes() {
    let served = Served::start(app);
    for (conversation, kinds) in [
        (
            "HELLO 3 \n CLIENT MAINT_NOTIFICATIONS ON \n CLIENT SETNAME x \n CLIENT SETINFO LIB-NAME redis-py \n SELECT 1",
            "%-+++",
        ),
        ("HELLO 3 AUTH default secret SETNAME x \n SELECT 2 \n CLIENT SETINFO LIB-VER 6 \n PING", "%+++"),
        ("CLIENT SETINFO LIB-NAME x \n CLIENT SETINFO LIB-VER 1 \n SELECT 0", "+++"),
        ("PING \n CLIENT ID", "+:"),
    ] {
        let mut client = RawClient::connect(served.address());
        client.send(lines(conversation));
        let replies: String = kinds.chars().map(|_| char::from(client.reply()[0])).collect();
        assert_eq!(replies, kinds, "{conversation}");
    }
}

#[test]
fn info_says_what_clients_wait_for() {
    let served = Served::start(app);
    let port = served.address().rsplit(':').next().expect("a port").to_owned();
    let mut client = RawClient::connect(served.address());
    let all = String::from_utf8(client.ask(line("INFO")).to_vec()).expect("text");
    for field in ["# Server", "redis_version:7.", "loading:0", "role:master", &format!("tcp_port:{port}\r\n")]
    {
        assert!(all.contains(field), "{field} in {all}");
    }
    assert!(all.contains("connected_clients:1\r\n") && all.starts_with('$'), "{all}");
    assert_eq!(client.ask(line("INFO nope")), "$0\r\n\r\n");
    client.ask(line("HELLO 3"));
    let replication = "txt:# Replication\r\nrole:master\r\nconnected_slaves:0\r\n";
    let expected = format!("={}\r\n{replication}\r\n", replication.len());
    assert_eq!(client.ask(line("INFO REPLICATION")), expected.as_str());
}
