//! A server that runs, until it is stopped.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::{Arc, OnceLock},
    task::Poll,
    time::Duration,
};

use actix_rt::{System, task::yield_now};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
    time::MissedTickBehavior,
};

use super::{ServerHandle, accept::accept};
use crate::{
    client::CloseRequest,
    clients_cron::ClientsCron,
    cluster,
    listener::Listener,
    server_state::ServerState,
    settings::Setting,
    workers::{StartShard, Workers},
};

/// Interval between two searches for expired keys. Redis has the same default (`hz 10`).
const EXPIRE_EVERY: Duration = Duration::from_millis(100);

/// A server that is ready to accept clients.
pub(crate) struct BoundServer {
    pub(crate) server: Arc<ServerState>,
    pub(super) shards: Vec<StartShard>,
    pub(super) signals: bool,
    pub(super) listeners: Vec<Listener>,
    /// Keeps the channel open after the last handle of the program is dropped.
    pub(super) handle: ServerHandle,
    pub(super) stops: mpsc::UnboundedReceiver<()>,
    pub(super) before_stop: Vec<BeforeStop>,
}

/// Work of the program that ends before the server stops.
pub(super) type BeforeStop = Pin<Box<dyn Future<Output = ()>>>;

impl BoundServer {
    /// Serves until it is stopped.
    pub(crate) async fn run(self) -> io::Result<()> {
        let BoundServer { server, shards, signals, listeners, handle, mut stops, before_stop } = self;
        let mut signal_tasks = Tasks::default();
        if signals {
            signal_tasks.0.push(stop_at(SignalKind::terminate(), handle.clone())?);
            signal_tasks.0.push(stop_at(SignalKind::interrupt(), handle.clone())?);
            signal_tasks.0.push(reload_at_hangup(Arc::clone(&server))?);
        }
        let mut cron_task = Tasks::default();
        cron_task.0.push(actix_rt::spawn(run_cron(Arc::clone(&server))));
        cron_task.0.push(actix_rt::spawn(expire_keys(Arc::clone(&server))));
        #[cfg(feature = "tls")]
        cron_task.0.push(actix_rt::spawn(watch_certificates(Arc::clone(&server))));
        if let Some(cluster) = &server.cluster {
            cron_task.0.push(actix_rt::spawn(cluster::watch(Arc::clone(cluster))));
            cron_task.0.push(actix_rt::spawn(cluster::forward(Arc::clone(cluster), &server.pubsub)));
        }
        let (workers, threads) = Workers::start(Arc::clone(&server), shards);
        let workers = Rc::new(workers);
        let mut accept_tasks = Tasks::default();
        for listener in listeners {
            let acceptor = listener.into_acceptor()?;
            acceptor.log_address();
            accept_tasks.0.push(actix_rt::spawn(accept(acceptor, Arc::clone(&server), Rc::clone(&workers))));
        }

        let ended_actor = Arc::new(OnceLock::new());
        let mut watch_task = Tasks::default();
        watch_task.0.push(actix_rt::spawn(watch_actors(
            Arc::clone(&server),
            handle,
            Arc::clone(&ended_actor),
        )));

        stops.recv().await;
        // An actor may end during the stop.
        drop(watch_task);
        let stopped = async {
            for future in before_stop {
                future.await;
            }
            tracing::info!(clients = server.clients.len(), "stopping");
            drop(accept_tasks);
            let wait = server.settings.time(Setting::ShutdownTimeout).unwrap_or_default();
            // The timeout is no error: the rest is closed below.
            let _ = actix_rt::time::timeout(wait, server.clients.close_all()).await;
        };
        let outcome = match first(stopped, stops.recv()).await {
            First::Left(_) => ended_actor.get().map_or(Ok(()), |actor| Err(ended(actor))),
            First::Right(_) => Err(io::Error::new(io::ErrorKind::Interrupted, "stopped by a second signal")),
        };
        let left = server.clients.all();
        if !left.is_empty() {
            tracing::warn!(clients = left.len(), "stopped before these clients had taken their replies");
        }
        left.iter().for_each(|client| client.request_close(CloseRequest::Now));
        threads.stop().await;
        outcome
    }
}

/// Tasks that are aborted on drop.
#[derive(Default)]
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Updates the clock and checks the clients, once a second.
async fn run_cron(server: Arc<ServerState>) {
    let mut clients_cron = ClientsCron::default();
    let mut every_second = actix_rt::time::interval(Duration::from_secs(1));
    loop {
        every_second.tick().await;
        server.tick();
        clients_cron.run(&server);
    }
}

/// Lets the actors remove expired keys that no command uses.
async fn expire_keys(server: Arc<ServerState>) {
    if !server.routes.has_expiring_actors() {
        return;
    }
    let mut often = actix_rt::time::interval(EXPIRE_EVERY);
    often.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        often.tick().await;
        server.routes.expire_keys();
    }
}

/// Stops the server when a mounted actor has ended, and stores the type of the actor.
///
/// It looks once a second, and at once when the requests for an actor are refused.
async fn watch_actors(
    server: Arc<ServerState>,
    handle: ServerHandle,
    ended_actor: Arc<OnceLock<&'static str>>,
) {
    let mut every_second = actix_rt::time::interval(Duration::from_secs(1));
    let actor = loop {
        first(every_second.tick(), server.routes.refused()).await;
        if let Some(actor) = server.routes.ended_actor() {
            break actor;
        }
    };
    // A stop of the system reaches all its arbiters in one turn of the event loop.
    yield_now().await;
    if !is_system_stopped() {
        tracing::error!(actor, "an actor has ended, so the server stops");
        // Nothing else sets it.
        let _ = ended_actor.set(actor);
    }
    handle.stop();
}

/// Returns whether the actix system of this thread was stopped, which ends the actors of other arbiters.
fn is_system_stopped() -> bool {
    System::try_current().is_some_and(|system| !system.arbiter().spawn(async {}))
}

fn ended(actor: &str) -> io::Error {
    io::Error::other(format!("the actor {actor} has ended"))
}

/// Stops the server at each signal of this kind.
///
/// It runs as a separate task. The event loop polls its main future at every turn, so that future must be
/// cheap to poll.
fn stop_at(kind: SignalKind, handle: ServerHandle) -> io::Result<JoinHandle<()>> {
    let mut signals = signal(kind)?;
    Ok(actix_rt::spawn(async move {
        while signals.recv().await.is_some() {
            handle.stop();
        }
    }))
}

/// Reloads the files of TLS listeners and of the topology at each SIGHUP.
///
/// The handler of tokio stays installed, so the signal never ends the process.
fn reload_at_hangup(server: Arc<ServerState>) -> io::Result<JoinHandle<()>> {
    let mut hangups = signal(SignalKind::hangup())?;
    Ok(actix_rt::spawn(async move {
        while hangups.recv().await.is_some() {
            server.reload_tls();
            if let Some(cluster) = &server.cluster {
                cluster.reload();
            }
        }
    }))
}

/// Warns once a day of certificates that end soon.
#[cfg(feature = "tls")]
async fn watch_certificates(server: Arc<ServerState>) {
    let mut every_day = actix_rt::time::interval(Duration::from_secs(24 * 60 * 60));
    loop {
        every_day.tick().await;
        server.tls.watch_expiry();
    }
}

/// The output of the first of two futures.
enum First<L, R> {
    Left(L),
    Right(R),
}

async fn first<L: Future, R: Future>(left: L, right: R) -> First<L::Output, R::Output> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| match left.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(First::Left(output)),
        Poll::Pending => right.as_mut().poll(cx).map(First::Right),
    })
    .await
}
