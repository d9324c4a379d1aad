//! Run with `cargo run -p pool`, then try `redis-cli -p 6380 PRIMES 1000000`.
//!
//! This example shows how slow commands run on other threads, so that no other command waits for them:
//!
//! - A [`SyncArbiter`] starts copies of an actor, each on a thread. They run commands at the same time, so they have no
//!   state in common, or share it by `Arc<Mutex<…>>`.
//! - An [`Arbiter`] is one thread with an event loop. An actor on it has state without a lock, and runs one command at a time.

use thegiant::{actix::Arbiter, prelude::*};

const THREADS: usize = 4;

/// Computes. Each thread of the pool has a copy.
struct Worker;

impl Actor for Worker {
    type Context = SyncContext<Self>;
}

#[commands]
impl Worker {
    /// Returns the number of primes below a limit, slowly.
    #[command("PRIMES", readonly)]
    fn primes(&self, limit: u32) -> usize {
        (2..limit).filter(|number| is_prime(*number)).count()
    }
}

fn is_prime(number: u32) -> bool {
    (2..).take_while(|divisor| *divisor <= number / divisor).all(|divisor| !number.is_multiple_of(divisor))
}

/// Collects lines, on another thread than the server's.
#[derive(Default)]
struct Archive {
    lines: Vec<String>,
}

impl Actor for Archive {
    type Context = Context<Self>;
}

#[commands]
impl Archive {
    /// Adds a line and returns the number of lines.
    #[command("ARCHIVE", write)]
    fn archive(&mut self, line: String) -> usize {
        self.lines.push(line);
        self.lines.len()
    }
}

fn app() -> App {
    let workers = SyncArbiter::start(THREADS, || Worker);
    let archive = Archive::start_in_arbiter(&Arbiter::new().handle(), |_| Archive::default());
    App::new().mount(workers).mount(archive)
}

#[thegiant::main]
async fn main() -> std::io::Result<()> {
    Server::new(app).bind("127.0.0.1:6380")?.run().await
}

#[cfg(test)]
mod tests {
    use thegiant::test::TestServer;

    use super::*;

    #[thegiant::test]
    async fn actors_on_several_threads_reply_in_order() {
        let server = TestServer::start(app());
        let mut client = server.connect();
        client.send("PRIMES 100\r\nARCHIVE a\r\nPRIMES 2\r\nARCHIVE b\r\n").await;
        client.expect(":25\r\n:1\r\n:0\r\n:2\r\n").await;
    }
}
