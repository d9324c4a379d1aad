//! Where keys are, and where they are read.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use crate::support::{Folder, Process, RawClient, eventually, line, lines};

#[test]
fn replicas_are_read_one_after_the_other() {
    // They are none: what they have shows who is asked.
    let [primary, first, second] = [(); 3].map(|()| Process::redis(&[]));
    for (server, value) in [(&first, "first"), (&second, "second")] {
        RawClient::connect(server.address()).ask(format!("SET a {value}\r\n"));
    }
    let group = [&primary, &first, &second].map(Process::address).join(",");
    let balancer = Process::example_with("balancer", &[&group]);
    let mut client = RawClient::connect(balancer.address());
    assert_eq!(client.ask(line("SET a primary")), "+OK\r\n");
    let [one, other] = [(); 2].map(|()| client.ask(line("GET a")));
    assert!(
        one != other && [&one, &other].iter().all(|reply| **reply != "$7\r\nprimary\r\n"),
        "{one:?} {other:?}"
    );
    assert_eq!([(); 2].map(|()| client.ask(line("GET a"))), [one, other]);
    // What is read together with what is written is read there.
    client.send(lines("MULTI \n GET a \n EXEC \n WATCH a \n GET a \n UNWATCH"));
    assert_eq!(client.replies(3), "+OK\r\n+QUEUED\r\n*1\r\n$7\r\nprimary\r\n");
    assert_eq!(client.replies(3), "+OK\r\n$7\r\nprimary\r\n+OK\r\n");
    first.signal("KILL");
    eventually(|| (client.ask(line("GET a")) == "$6\r\nsecond\r\n").then_some(()));
    second.signal("KILL");
    eventually(|| (client.ask(line("GET a")) == "$7\r\nprimary\r\n").then_some(()));
}

/// Another proxy of that name, which is killed when it is dropped.
struct Twemproxy {
    child: Child,
    address: String,
    _folder: Folder,
}

impl Twemproxy {
    fn before(servers: &[&str]) -> Self {
        let folder = Folder::new();
        let [address, stats] = [(); 2].map(|()| free_address());
        let servers: String = servers.iter().map(|server| format!("   - {server}:1\n")).collect();
        let settings = format!(
            "tested:\n  listen: {address}\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  \
             hash_tag: \"{{}}\"\n  servers:\n{servers}"
        );
        let file = folder.path().join("settings.yml");
        fs::write(&file, settings).expect("it can be written");
        let (_, port) = stats.rsplit_once(':').expect("a port");
        let child = Command::new("nutcracker")
            .args(["-a", "127.0.0.1", "-s", port, "-c"])
            .arg(file)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.expect("tests/run installs nutcracker");
        Twemproxy { child, address, _folder: folder }
    }
}

impl Drop for Twemproxy {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.expect("a free port").to_string()
}

#[test]
fn keys_are_where_twemproxy_has_them() {
    let folders = [(); 3].map(|()| Folder::new());
    let addresses = folders.each_ref().map(|_| free_address());
    let servers = [0, 1, 2].map(|index| {
        let (_, port) = addresses[index].rsplit_once(':').expect("a port");
        Process::redis_in(&folders[index], &["--port", port, "--bind", "127.0.0.1"])
    });
    let addresses = addresses.each_ref().map(String::as_str);
    let twemproxy = Twemproxy::before(&addresses);
    let balancer = Process::example_with("balancer", &[&["--hash", "ketama"], &addresses[..]].concat());
    let mut writer = eventually(|| RawClient::try_connect(&twemproxy.address).ok());
    let mut reader = RawClient::connect(balancer.address());
    let keys = (0..300).flat_map(|number| {
        [
            format!("key:{number}"),
            format!("{number}"),
            format!("{{{number}}}:cart"),
            format!("user:{number}:name"),
        ]
    });
    for key in keys {
        assert_eq!(writer.ask(crate::support::request(["SET", &key, &key])), "+OK\r\n");
        assert_eq!(reader.ask(format!("GET {key}\r\n")), format!("${}\r\n{key}\r\n", key.len()));
    }
    for server in &servers {
        assert_ne!(RawClient::connect(server.address()).ask(line("DBSIZE")), ":0\r\n", "each has some");
    }
}
