//! Which server stores a key, and which server reads it.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use crate::support::{Folder, Process, RawClient, eventually, line, lines, on_free_ports};

/// Name of the unix socket of twemproxy.
const SOCKET: &str = "twemproxy.sock";

#[test]
fn reads_rotate_among_replicas() {
    // These servers are not real replicas: their different values show which server replied.
    let [primary, first, second] = [(); 3].map(|()| Process::redis(&[]));
    for (server, value) in [(&first, "first"), (&second, "second")] {
        RawClient::connect(server.address()).ask(format!("SET a {value}\r\n"));
    }
    let group = [&primary, &first, &second].map(Process::address).join(",");
    let balancer = Process::program_with("balancer", &[&group]);
    let mut client = RawClient::connect(balancer.address());
    assert_eq!(client.ask(line("SET a primary")), "+OK\r\n");
    let [one, other] = [(); 2].map(|()| client.ask(line("GET a")));
    assert!(
        one != other && [&one, &other].iter().all(|reply| **reply != "$7\r\nprimary\r\n"),
        "{one:?} {other:?}"
    );
    assert_eq!([(); 2].map(|()| client.ask(line("GET a"))), [one, other]);
    // Transactions and watching connections read from the primary.
    client.send(lines("MULTI \n GET a \n EXEC \n WATCH a \n GET a \n UNWATCH"));
    assert_eq!(client.replies(3), "+OK\r\n+QUEUED\r\n*1\r\n$7\r\nprimary\r\n");
    assert_eq!(client.replies(3), "+OK\r\n$7\r\nprimary\r\n+OK\r\n");
    first.signal("KILL");
    eventually(|| (client.ask(line("GET a")) == "$6\r\nsecond\r\n").then_some(()));
    second.signal("KILL");
    eventually(|| (client.ask(line("GET a")) == "$7\r\nprimary\r\n").then_some(()));
}

/// A running twemproxy. Dropping it kills the process.
struct Twemproxy {
    child: Child,
    folder: Folder,
}

impl Twemproxy {
    fn in_front_of(servers: &[&str]) -> Self {
        on_free_ports(|[stats]| Self::start(servers, &stats))
    }

    /// Returns `None` if another process uses the statistics port. Twemproxy cannot run without that port.
    fn start(servers: &[&str], stats: &str) -> Option<Self> {
        let folder = Folder::new();
        let socket = folder.path().join(SOCKET);
        let servers: String = servers.iter().map(|server| format!("   - {server}:1\n")).collect();
        let settings = format!(
            "tested:\n  listen: {}\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  hash_tag: \"{{}}\"\n  \
             servers:\n{servers}",
            socket.display()
        );
        let file = folder.path().join("settings.yml");
        fs::write(&file, settings).expect("the file can be written");
        let child = Command::new("nutcracker")
            .args(["-a", "127.0.0.1", "-s", stats, "-c"])
            .arg(file)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut twemproxy = Twemproxy { child: child.expect("tests/run installs nutcracker"), folder };
        eventually(|| {
            let has_ended = twemproxy.child.try_wait().expect("it is a child of this process").is_some();
            (has_ended || RawClient::try_connect(&twemproxy.address()).is_ok()).then_some(!has_ended)
        })
        .then_some(twemproxy)
    }

    fn address(&self) -> String {
        self.folder.socket(SOCKET)
    }
}

impl Drop for Twemproxy {
    fn drop(&mut self) {
        // The process may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a redis-server on a TCP port. The distribution of keys depends on addresses, so they have the usual form.
fn redis_on_a_port() -> (Process, String) {
    let options = |[port]: &[String; 1]| ["--port", port, "--bind", "127.0.0.1"].map(str::to_owned).to_vec();
    let (redis, [port]) = Process::redis_on_ports(options);
    (redis, format!("127.0.0.1:{port}"))
}

#[test]
fn ketama_stores_keys_on_the_same_servers_as_twemproxy() {
    let servers = [(); 3].map(|()| redis_on_a_port());
    let addresses = servers.each_ref().map(|(_, address)| address.as_str());
    let twemproxy = Twemproxy::in_front_of(&addresses);
    let balancer = Process::program_with("balancer", &[&["--hash", "ketama"], &addresses[..]].concat());
    let mut writer = RawClient::connect(&twemproxy.address());
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
    for (server, _) in &servers {
        assert_ne!(
            RawClient::connect(server.address()).ask(line("DBSIZE")),
            ":0\r\n",
            "each server has some keys"
        );
    }
}
