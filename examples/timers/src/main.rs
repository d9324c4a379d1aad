//! Run with `cargo run -p timers`, then send `NOTE`, `WRITE EVERY 1000` and `JOURNAL` with any Redis client.
//!
//! It teaches timers and deferred work, which are those of actix, with a buffer of lines that an actor writes to a journal:
//!
//! - [`run_interval`](AsyncContext::run_interval) starts a timer that repeats, `run_later` one that does
//!   not; both return a [`SpawnHandle`].
//! - [`cancel_future`](AsyncContext::cancel_future) stops it. To restart it is to stop it and to start another.
//! - [`notify`](AsyncContext::notify) defers work: it is a message to oneself, and handled when the requests that
//!   are there have been run. Whoever defers the same work many times and wants it done once keeps a note
//!   that it is deferred already.

use std::{env, io, time::Duration};

use actix::SpawnHandle;
use thegiant::prelude::*;

#[derive(Default)]
struct Journal {
    buffer: Vec<String>,
    written: Vec<String>,
    /// How often something has been written.
    writes: u64,
    timer: Option<SpawnHandle>,
    /// A [`Write`] is under way.
    deferred: bool,
}

impl Actor for Journal {
    type Context = Context<Self>;
}

#[commands]
impl Journal {
    /// Puts a line into the buffer.
    #[command("NOTE", write, fast)]
    fn note(&mut self, line: String) -> usize {
        self.buffer.push(line);
        self.buffer.len()
    }

    /// Has the buffer written when the requests that are there have been run, once for all of them.
    #[command("WRITE", write, fast)]
    fn write_soon(&mut self, context: &mut Context<Self>) {
        if !self.deferred {
            self.deferred = true;
            context.notify(Write);
        }
    }

    /// Has the buffer written every so many milliseconds from now on, whatever was said before.
    #[command("WRITE EVERY", write)]
    fn write_every(&mut self, milliseconds: u64, context: &mut Context<Self>) -> Result<(), Error> {
        if milliseconds == 0 {
            return Err(Error::new("ERR", "a timer needs some time"));
        }
        self.stop(context);
        let interval = Duration::from_millis(milliseconds);
        self.timer = Some(context.run_interval(interval, |this, _| this.write()));
        Ok(())
    }

    /// Does not have it written any more.
    #[command("WRITE NEVER", write)]
    fn write_never(&mut self, context: &mut Context<Self>) -> bool {
        self.stop(context)
    }

    /// Returns what has been written.
    #[command("JOURNAL", readonly)]
    fn journal(&self) -> &Vec<String> {
        &self.written
    }

    /// Returns how often something has been written.
    #[command("WRITES", readonly, fast)]
    fn writes(&self) -> u64 {
        self.writes
    }
}

impl Journal {
    /// Stops the timer; `false` if there is none.
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

/// Writes the buffer.
#[derive(Message)]
#[rtype(result = "()")]
struct Write;

impl Handler<Write> for Journal {
    type Result = ();

    fn handle(&mut self, _: Write, _: &mut Context<Self>) {
        self.deferred = false;
        self.write();
    }
}

#[actix::main]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:6380".to_owned());
    let app = App::new().mount(Journal::default().start());
    let server = Server::new(app).bind(address)?;
    for address in server.addresses() {
        println!("listening on {address}");
    }
    server.run().await
}
