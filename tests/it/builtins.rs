use crate::support::{Process, RawClient, Reply, Served, app, line, lines, request};

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Simple(bytes) | Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?} is not a text"),
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

/// Clients route and check requests by the arity, the flags and the key positions. Users are allowed categories of
/// commands, and what a command does with its keys.
#[test]
fn command_info_is_the_same_as_in_redis() {
    /// Redis reports the flags of the subcommands for this container command.
    const DIFFERENT: &str = "debug";
    let [kv, redis] = [Process::program("kv"), Process::redis(&[])];
    let [mut kv, mut redis] = [kv.address(), redis.address()].map(RawClient::connect);
    for name in elements(ask(&mut kv, "COMMAND LIST")).iter().map(text) {
        let request = format!("COMMAND INFO {name}");
        let [kv, redis] = [&mut kv, &mut redis].map(|client| described(ask(client, &request)));
        // The installed redis-server may be older than the command.
        if redis.is_some() {
            assert_eq!(kv == redis, name != DIFFERENT, "{name}: {kv:?} {redis:?}");
        }
    }
}

/// Returns the name, arity, sorted flags, first key, last key, step, sorted categories and keys of the only command in a
/// reply.
fn described(infos: Reply) -> Option<Vec<Reply>> {
    let info = elements(infos).pop().filter(|info| *info != Reply::Null)?;
    let mut fields = elements(info);
    // The tips and the subcommands.
    fields.truncate(9);
    fields.remove(7);
    for sorted in [2, 6] {
        if let Reply::Array(words) = &mut fields[sorted] {
            words.sort_by_key(text);
        }
    }
    fields[7] = Reply::Array(elements(fields[7].clone()).into_iter().map(without_notes).collect());
    Some(fields)
}

/// Removes what a key specification of Redis says about itself.
fn without_notes(spec: Reply) -> Reply {
    let fields = elements(spec);
    let kept = fields.chunks(2).filter(|field| text(&field[0]) != "notes");
    Reply::Array(kept.flatten().cloned().collect())
}

#[test]
fn command_lists_all_commands() {
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
    let filtered = elements(ask(&mut client, "COMMAND LIST FILTERBY PATTERN *panic*"));
    assert_eq!(filtered.iter().map(text).collect::<Vec<_>>(), ["panic", "panic.late"]);
    assert_eq!(ask(&mut client, "COMMAND LIST FILTERBY MODULE any"), Reply::Array(Vec::new()));
    let written = elements(ask(&mut client, "COMMAND LIST FILTERBY ACLCAT write"));
    assert!(written.iter().map(text).any(|name| name == "mset"));
    assert!(!written.iter().map(text).any(|name| name == "get"));
    let own = elements(ask(&mut client, "COMMAND LIST FILTERBY ACLCAT FIRST"));
    assert!(own.iter().map(text).any(|name| name == "mset"));
}

/// Returns the value of a field of a RESP3 map.
fn field<'r>(map: &'r Reply, name: &str) -> Option<&'r Reply> {
    let Reply::Map(pairs) = map else { panic!("{map:?} is not a map") };
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
fn every_client_has_its_own_id() {
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
fn client_libraries_set_their_name_and_version() {
    let served = Served::start(app);
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(line("CLIENT SETINFO LIB-NAME redis-py")), "+OK\r\n");
    assert_eq!(client.ask(line("CLIENT SETINFO lib-ver 1.2.3")), "+OK\r\n");
    assert_eq!(
        client.ask(request(["CLIENT", "SETINFO", "LIB-NAME", "a b"])),
        "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n"
    );
    assert_eq!(client.ask(line("CLIENT SETINFO LIB-FOO x")), "-ERR Unrecognized option 'LIB-FOO'\r\n");
    for wrong in
        ["CLIENT SETINFO", "CLIENT SETINFO LIB-NAME", "CLIENT SETINFO NOPE x", "CLIENT SETINFO LIB-VER 1 2"]
    {
        assert!(client.ask(line(wrong)).starts_with(b"-ERR "), "{wrong}");
    }
}

/// Sends complete handshakes as current client libraries do: in one segment, with errors among the replies.
#[test]
fn handshakes_of_client_libraries_are_answered() {
    let served = Served::start(|| app().databases(16));
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
fn info_has_the_fields_that_clients_need() {
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
    let replication = "txt:# Replication\r\nrole:master\r\nconnected_slaves:0\r\nmaster_repl_offset:0\r\n";
    let expected = format!("={}\r\n{replication}\r\n", replication.len());
    assert_eq!(client.ask(line("INFO REPLICATION")), expected.as_str());
}
