//! Run with `cargo run -p timers`, then send `NOTE`, `WRITE EVERY 1000` and `JOURNAL` with any Redis client.
//!
//! This example shows timers and deferred work with actix. An actor buffers lines and writes them to a
//! journal:
//!
//! - [`run_interval`](AsyncContext::run_interval) starts a timer that repeats, and `run_later` starts a timer
//!   that fires once. Both return a [`SpawnHandle`].
//! - [`cancel_future`](AsyncContext::cancel_future) stops a timer. To restart a timer, stop it and start
//!   another one.
//! - [`notify`](AsyncContext::notify) defers work: the actor sends itself a message, and handles it after the
//!   requests that are already in its queue. A flag such as `is_deferred` ensures that deferred work runs
//!   only once.

use std::{env, io, time::Duration};

use actix::SpawnHandle;
use thegiant::prelude::*;

#[derive(Default)]
struct Journal {
    buffer: Vec<String>,
    written: Vec<String>,
    /// Number of writes to the journal.
    writes: u64,
    timer: Option<SpawnHandle>,
    /// Whether a [`Write`] message is in the actor's mailbox.
    is_deferred: bool,
}

impl Actor for Journal {
    type Context = Context<Self>;
}

#[commands]
impl Journal {
    /// Adds a line to the buffer, and returns the length of the buffer.
    #[command("NOTE", write, fast)]
    fn note(&mut self, line: String) -> usize {
        self.buffer.push(line);
        self.buffer.len()
    }

    /// Writes the buffer once, after all requests that are already in the queue.
    #[command("WRITE", write, fast)]
    fn write_soon(&mut self, context: &mut Context<Self>) {
        if !self.is_deferred {
            self.is_deferred = true;
            context.notify(Write);
        }
    }

    /// Writes the buffer at this interval, in milliseconds. This replaces an earlier interval.
    #[command("WRITE EVERY", write)]
    fn write_every(&mut self, milliseconds: u64, context: &mut Context<Self>) -> Result<(), Error> {
        if milliseconds == 0 {
            return Err(Error::new("ERR", "interval must be at least 1 ms"));
        }
        self.stop(context);
        let interval = Duration::from_millis(milliseconds);
        self.timer = Some(context.run_interval(interval, |this, _| this.write()));
        Ok(())
    }

    /// Stops the interval, and returns whether there was one.
    #[command("WRITE NEVER", write)]
    fn write_never(&mut self, context: &mut Context<Self>) -> bool {
        self.stop(context)
    }

    /// Returns all lines in the journal.
    #[command("JOURNAL", readonly)]
    fn journal(&self) -> &Vec<String> {
        &self.written
    }

    /// Returns the number of writes to the journal.
    #[command("WRITES", readonly, fast)]
    fn writes(&self) -> u64 {
        self.writes
    }
}

impl Journal {
    /// Stops the timer. Returns `false` if there is none.
    fn stop(&mut self, context: &mut Context<Self>) -> bool {
        let timer = self.timer.take();
        timer.is_some_and(|timer| context.cancel_future(timer))
    }

    fn write(&mut self) {
        if !self.buffer.is_empty() {
            self.written.append(&mut self.buffer);
            self.writes += 1;
        }
    }
}

/// Asks the actor to write the buffer.
#[derive(Message)]
#[rtype(result = "()")]
struct Write;

impl Handler<Write> for Journal {
    type Result = ();

    fn handle(&mut self, _: Write, _: &mut Context<Self>) {
        self.is_deferred = false;
        self.write();
    }
}

#[thegiant::main]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:6380".to_owned());
    let app = || App::new().mount(Journal::default().start());
    let server = Server::new(app).bind(address)?;
    for address in server.addrs() {
        println!("listening on {address}");
    }
    server.run().await
}
