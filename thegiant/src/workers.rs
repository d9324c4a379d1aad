//! The threads that serve connections.

use std::{io, sync::Arc, time::Duration};

use actix_rt::{Arbiter, ArbiterHandle, task::spawn_blocking, time::timeout};

use crate::{
    client::Client,
    conn::{Connection, ConnectionState},
    listener::Security,
    server_state::ServerState,
    stream::{DetachedStream, Stream},
};

/// Time to wait for the end of the threads.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts a shard on the current thread.
pub(crate) type StartShard = Box<dyn FnOnce() + Send>;

/// The threads that serve connections. Worker 0 is the thread of the server.
pub(crate) struct Workers {
    server: Arc<ServerState>,
    /// The event loops of the workers 1, 2, ….
    arbiters: Vec<ArbiterHandle>,
}

/// The threads of the workers 1, 2, ….
pub(crate) struct WorkerThreads(Vec<Arbiter>);

impl Workers {
    /// Starts the threads, and the shards on them in turn.
    pub(crate) fn start(server: Arc<ServerState>, shards: Vec<StartShard>) -> (Self, WorkerThreads) {
        let workers = server.stats.workers().len();
        let threads: Vec<_> = (1..workers).map(|_| Arbiter::new()).collect();
        for (start, worker) in shards.into_iter().zip((0..workers).cycle()) {
            match worker.checked_sub(1).and_then(|index| threads.get(index)) {
                Some(thread) => drop(thread.spawn_fn(start)),
                None => start(),
            }
        }
        (Workers { server, arbiters: threads.iter().map(Arbiter::handle).collect() }, WorkerThreads(threads))
    }

    /// Gives a connection to the worker with the fewest clients. `security` is added there.
    pub(crate) fn serve(&self, stream: Stream, client: Client, security: Security) {
        let worker = self.server.stats.least_loaded();
        self.server.stats.accepted(worker);
        let server = Arc::clone(&self.server);
        let id = worker as u16;
        let Some(arbiter) = worker.checked_sub(1).and_then(|index| self.arbiters.get(index)) else {
            return Connection::start(security.add_to(stream), server, client, id);
        };
        let stream = stream.detach();
        // The thread ends after the task that calls this.
        arbiter.spawn_fn(move || match stream.and_then(DetachedStream::attach) {
            Ok(stream) => Connection::start(security.add_to(stream), server, client, id),
            Err(error) => refuse(server, client, id, &error),
        });
    }
}

impl WorkerThreads {
    /// Ends the threads.
    pub(crate) async fn stop(self) {
        for arbiter in &self.0 {
            arbiter.stop();
        }
        let join = spawn_blocking(|| self.0.into_iter().for_each(|arbiter| drop(arbiter.join())));
        // A thread that an actor blocks ends later.
        let _ = timeout(JOIN_TIMEOUT, join).await;
    }
}

/// Forgets a client whose socket cannot be used.
fn refuse(server: Arc<ServerState>, client: Client, worker: u16, error: &io::Error) {
    tracing::warn!(id = client.id(), client = %client.addr(), %error, "closed: a worker cannot use the socket");
    drop(ConnectionState::new(server, client, worker));
}
