mod alike;
mod cluster;
mod down;
mod places;
mod spread;

use crate::support::{Folder, Process, RawClient, Reply, line};

/// Three servers, each in a place of its own where it may go and come back, and the example before them.
struct Three {
    places: [Folder; 3],
    servers: [Option<Process>; 3],
    balancer: Process,
}

impl Three {
    fn start(options: &[&str]) -> Self {
        Self::with([true; 3], options)
    }

    /// Of which some are there at first.
    fn with(there: [bool; 3], options: &[&str]) -> Self {
        let places = [(); 3].map(|()| Folder::new());
        let mut servers = [None, None, None];
        for ((server, place), is_there) in servers.iter_mut().zip(&places).zip(there) {
            *server = is_there.then(|| Process::redis_in(place, &[]));
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

    /// A client of one of the servers itself.
    fn direct(&self, server: usize) -> RawClient {
        RawClient::connect(self.servers[server].as_ref().expect("it is there").address())
    }

    fn kill(&mut self, server: usize) {
        drop(self.servers[server].take().expect("it is there"));
    }

    /// It comes back, and knows nothing.
    fn restart(&mut self, server: usize) {
        self.servers[server] = Some(Process::redis_in(&self.places[server], &[]));
    }

    /// How many keys each of the servers has.
    fn sizes(&self) -> [i64; 3] {
        [0, 1, 2].map(|server| number(&self.direct(server).ask(line("DBSIZE"))))
    }

    /// Three keys, each of another server; there are no others.
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

/// What a reply says that is a number.
#[track_caller]
fn number(reply: &[u8]) -> i64 {
    match Reply::only(reply) {
        Some(Reply::Integer(number)) => number,
        reply => panic!("{reply:?} is no number"),
    }
}

/// Whether a reply is an error of this kind.
fn is_error(reply: &[u8], code: &str) -> bool {
    reply.strip_prefix(b"-").is_some_and(|error| error.starts_with(format!("{code} ").as_bytes()))
}
