//! Instances of `kv-disk` and `collector`: each has a disk with the keys of its slots.

use std::{array, fs, process::Command};

use super::{NAMES, THIRDS, key_in, moved, topology};
use crate::support::{Folder, Process, RawClient, Reply, binary, line, request};

/// An app with keys on disk.
struct OnDisk {
    program: &'static str,
    /// The command that writes a key, without the key, and what follows the key.
    write: [&'static str; 2],
    read: [&'static str; 2],
    written: &'static str,
    missing: &'static str,
}

const APPS: [OnDisk; 2] = [
    OnDisk {
        program: "kv-disk",
        write: ["SET", "value"],
        read: ["GET", ""],
        written: "$5\r\nvalue\r\n",
        missing: "$-1\r\n",
    },
    OnDisk {
        program: "collector",
        write: ["XADD", "1-1 a b"],
        read: ["XRANGE", "- +"],
        written: "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n",
        missing: "*0\r\n",
    },
];

/// Three instances of an app, with their disks.
struct Instances {
    app: &'static OnDisk,
    version: u64,
    processes: Vec<Process>,
    /// Outlives the processes.
    folder: Folder,
}

impl Instances {
    fn new(app: &'static OnDisk) -> Self {
        Instances { app, folder: Folder::new(), version: 0, processes: Vec::new() }
    }

    fn start(app: &'static OnDisk, slots: [&str; 3]) -> Self {
        let mut instances = Self::new(app);
        instances.start_all(slots, &[]);
        instances
    }

    /// Kills all instances, and starts them with these slots and options.
    fn start_all(&mut self, slots: [&str; 3], options: &[&str]) {
        self.processes.clear();
        // No instance knows its port before it has started.
        self.write(slots, [":1", ":2", ":3"]);
        let file = self.path("topology");
        let start = |name: &str| {
            let dir = self.path(name);
            let own = ["--dir", &dir, "--cluster-topology", &file, "--cluster-node", name];
            Process::program_with(self.app.program, &[&own[..], options].concat())
        };
        self.processes = NAMES.map(start).into();
        self.set(slots);
    }

    /// Gives all instances a new topology with these slots.
    fn set(&mut self, slots: [&str; 3]) {
        let addresses: [String; 3] = array::from_fn(|index| self.processes[index].address().to_owned());
        let text = self.write(slots, addresses.each_ref().map(String::as_str));
        for index in 0..3 {
            let set = request(["CLUSTER", "SETTOPOLOGY", &text]);
            assert_eq!(self.client(index).ask(set), "+OK\r\n");
        }
    }

    /// Writes the file with the next topology, and returns its text.
    fn write(&mut self, slots: [&str; 3], addresses: [&str; 3]) -> String {
        self.version += 1;
        let text = topology(self.version, slots, addresses).to_string();
        fs::write(self.path("topology"), &text).expect("it can be written");
        text
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn client(&self, index: usize) -> RawClient {
        RawClient::connect(self.processes[index].address())
    }

    /// Asks the instance that owns the slot of a key, as a cluster client does. The first instance is asked first.
    fn ask(&self, [command, rest]: [&str; 2], key: &str) -> String {
        let request = line(format!("{command} {key} {rest}").trim_end());
        let reply = self.client(0).ask(&request);
        let reply = match Reply::only(&reply) {
            Some(Reply::Error(error)) => {
                let error = String::from_utf8(error).expect("text");
                let (_, address) = error.rsplit_once(' ').expect("a redirect");
                assert!(error.starts_with("MOVED "), "{error}");
                RawClient::connect(address).ask(&request)
            }
            _ => reply,
        };
        String::from_utf8(reply.to_vec()).expect("text")
    }

    fn add(&self, keys: &[String]) {
        for key in keys {
            assert!(!self.ask(self.app.write, key).starts_with('-'));
        }
    }

    fn expect_all(&self, keys: &[String]) {
        for key in keys {
            assert_eq!(self.ask(self.app.read, key), self.app.written, "{key}");
        }
    }

    /// Returns the numbers of keys on the disks.
    fn sizes(&self) -> [i64; 3] {
        array::from_fn(|index| match Reply::only(&self.client(index).ask(line("DBSIZE"))) {
            Some(Reply::Integer(size)) => size,
            other => panic!("{other:?}"),
        })
    }
}

/// Returns this number of keys in each third of the slots.
fn keys(count: usize) -> Vec<String> {
    (0..3).flat_map(|third| (0..count).map(move |number| key_in(third, &format!("key{number}")))).collect()
}

#[test]
fn each_disk_has_the_keys_of_its_instance() {
    for app in &APPS {
        let mut instances = Instances::start(app, THIRDS);
        let keys = keys(10);
        instances.add(&keys);
        assert_eq!(instances.sizes(), [10, 10, 10]);
        instances.start_all(THIRDS, &[]);
        instances.expect_all(&keys);
        let other = &keys[10];
        let mut client = instances.client(0);
        let read = line(format!("{} {other} {}", app.read[0], app.read[1]).trim_end());
        assert_eq!(client.ask(read), moved(other, instances.processes[1].address()));
    }
}

#[test]
fn keys_whose_slots_move_away_stay_on_disk() {
    for app in &APPS {
        let mut instances = Instances::start(app, THIRDS);
        let keys = keys(4);
        instances.add(&keys);
        let moved_away = ["", "0-10921", "10922-16383"];
        instances.set(moved_away);
        // Clients get what the new owner has: nothing.
        assert_eq!(instances.ask(app.read, &keys[0]), app.missing);
        // The old owner still lists the keys.
        let mut client = instances.client(0);
        assert_eq!(instances.sizes(), [4, 4, 4]);
        let Some(Reply::Array(listed)) = Reply::only(&client.ask(line("KEYS *"))) else { panic!("keys") };
        assert_eq!(listed.len(), 4);
        if app.program == "kv-disk" {
            let Some(Reply::Array(page)) = Reply::only(&client.ask(line("SCAN 0 COUNT 100"))) else {
                panic!("keys")
            };
            assert!(matches!(&page[1], Reply::Array(keys) if keys.len() == 4), "{page:?}");
        }
        let not_counted = "-ERR this application does not count the keys of a slot\r\n";
        assert_eq!(client.ask(line("CLUSTER COUNTKEYSINSLOT 1")), not_counted);
        // A topology was wrong: with the next one, all is as before.
        instances.set(THIRDS);
        instances.expect_all(&keys);
        // After a restart without the option, too.
        instances.start_all(moved_away, &[]);
        assert_eq!(instances.sizes(), [4, 4, 4]);
        instances.start_all(moved_away, &["--remove-moved-keys"]);
        assert_eq!(instances.sizes(), [0, 4, 4]);
        instances.start_all(THIRDS, &[]);
        assert_eq!(instances.ask(app.read, &keys[0]), app.missing);
        instances.expect_all(&keys[4..]);
    }
}

#[test]
fn an_instance_can_be_divided() {
    for app in &APPS {
        let mut instances = Instances::start(app, ["0-16383", "", ""]);
        let keys = keys(6);
        instances.add(&keys);
        assert_eq!(instances.sizes(), [18, 0, 0]);
        for process in instances.processes.drain(..) {
            process.signal("TERM");
            assert!(process.wait().success());
        }
        let other = instances.path("b");
        fs::remove_dir_all(&other).expect("it is there");
        let copied = Command::new("cp").arg("-a").arg(instances.path("a")).arg(&other).status();
        assert!(copied.expect("cp can be run").success());
        instances.start_all(["0-5460", "5461-16383", ""], &["--remove-moved-keys"]);
        assert_eq!(instances.sizes(), [6, 12, 0]);
        instances.expect_all(&keys);
        assert!(!instances.ask(app.write, "new").starts_with('-'));
    }
}

#[test]
fn keys_are_removed_only_by_a_topology_of_the_instance() {
    for app in &APPS {
        let mut instances = Instances::new(app);
        instances.write(THIRDS, [":1", ":2", ":3"]);
        let run = |options: &[&str]| {
            let mut command = Command::new(binary(app.program));
            let dir = instances.path("a");
            let output = command.args(["--bind", "127.0.0.1:0", "--dir", &dir]).args(options).output();
            String::from_utf8_lossy(&output.expect("it can be started").stderr).into_owned()
        };
        let file = instances.path("topology");
        let error = run(&["--cluster-topology", &file, "--cluster-node", "x", "--remove-moved-keys"]);
        let reason = "the topology has no instance with the name, the ID or the address \"x\": add it, or give another name";
        assert!(error.ends_with(&format!("{file}: {reason}\n")), "{error}");
        let error = run(&["--remove-moved-keys"]);
        assert!(error.contains("--cluster-topology"), "{error}");
    }
}

#[test]
fn redis_cli_follows_the_redirects() {
    for app in &APPS {
        let instances = Instances::start(app, THIRDS);
        let (_, port) = instances.processes[0].address().rsplit_once(':').expect("a port");
        for key in keys(1) {
            let run = |[command, rest]: [&str; 2]| {
                let mut cli = Command::new("redis-cli");
                cli.args(["-c", "-p", port, command, &key]).args(rest.split_whitespace());
                String::from_utf8(cli.output().expect("redis-cli can be run").stdout).expect("text")
            };
            run(app.write);
            let read = run(app.read);
            assert!(read.contains("value") || read.contains("1-1"), "{read}");
        }
        let mut check = Command::new("redis-cli");
        let check = check.args(["--cluster", "check", instances.processes[0].address()]).output();
        let check = String::from_utf8(check.expect("redis-cli can be run").stdout).expect("text");
        assert!(check.contains("[OK] All 16384 slots covered."), "{check}");
    }
}
