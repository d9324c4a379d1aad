mod addresses;
mod alike;
mod cluster;
mod down;
mod fake;
mod names;
mod pipe;
mod places;
mod prefix;
mod pubsub;
mod redirects;
mod replicas;
mod sentinel;
mod spread;
mod threads;
mod unreachable;
mod users;
mod writers;

use crate::support::{Folder, Process, RawClient, Reply, line};

/// Three redis-servers behind the balancer. Each can be killed, and restarted at the same address.
struct Three {
    places: [Folder; 3],
    servers: [Option<Process>; 3],
    balancer: Process,
}

impl Three {
    fn start(options: &[&str]) -> Self {
        Self::with([true; 3], options)
    }

    /// Starts the balancer, and those of the servers for which `running` is true.
    fn with(running: [bool; 3], options: &[&str]) -> Self {
        let places = [(); 3].map(|()| Folder::new());
        let mut servers = [None, None, None];
        for ((server, place), is_running) in servers.iter_mut().zip(&places).zip(running) {
            *server = is_running.then(|| Process::redis_in(place, &[]));
        }
        let balancer = Self::balancer(&places, options);
        Three { places, servers, balancer }
    }

    fn balancer(places: &[Folder], options: &[&str]) -> Process {
        let addresses: Vec<_> = places.iter().map(|place| place.socket("server.sock")).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        Process::program_with("balancer", &[options, &addresses].concat())
    }

    fn client(&self) -> RawClient {
        RawClient::connect(self.balancer.address())
    }

    /// Connects to one of the servers without the balancer.
    fn direct(&self, server: usize) -> RawClient {
        RawClient::connect(self.servers[server].as_ref().expect("the server runs").address())
    }

    fn kill(&mut self, server: usize) {
        drop(self.servers[server].take().expect("the server runs"));
    }

    /// Starts a server again. It has no keys.
    fn restart(&mut self, server: usize) {
        self.servers[server] = Some(Process::redis_in(&self.places[server], &[]));
    }

    /// Returns the number of keys of each server.
    fn sizes(&self) -> [i64; 3] {
        [0, 1, 2].map(|server| number(&self.direct(server).ask(line("DBSIZE"))))
    }

    /// Returns a key for each server. Removes all keys from the servers.
    fn keys_apart(&self) -> [String; 3] {
        let mut client = self.client();
        for number in 0..200 {
            client.ask(format!("SET apart:{number}:key 1\r\n"));
        }
        let keys = [0, 1, 2].map(|server| match Reply::only(&self.direct(server).ask(line("RANDOMKEY"))) {
            Some(Reply::Bulk(key)) => String::from_utf8(key).expect("text"),
            reply => panic!("{reply:?} instead of a key of server {server}"),
        });
        for server in 0..3 {
            assert_eq!(self.direct(server).ask(line("FLUSHALL")), "+OK\r\n");
        }
        keys
    }
}

/// Returns the number in an integer reply.
#[track_caller]
fn number(reply: &[u8]) -> i64 {
    match Reply::only(reply) {
        Some(Reply::Integer(number)) => number,
        reply => panic!("{reply:?} is not a number"),
    }
}

/// Returns the error for two keys of different servers or slots.
fn crossing(first: &str, second: &str) -> String {
    format!(
        "-CROSSSLOT Keys '{first}' and '{second}' are on different servers or in different slots: \
         give them a common {{hash tag}}\r\n"
    )
}

/// Returns whether a reply is an error with this code.
fn is_error(reply: &[u8], code: &str) -> bool {
    reply.strip_prefix(b"-").is_some_and(|error| error.starts_with(format!("{code} ").as_bytes()))
}
