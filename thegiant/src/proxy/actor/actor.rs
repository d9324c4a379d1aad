//! The actor that sends requests on to upstreams.

use std::{cell::RefCell, future::Future, pin::Pin, rc::Rc, sync::Arc};

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use actix_rt::time::sleep;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    client_tracking::watch_trackers,
    feed_consumer::Consumer,
    state::ProxyState,
    upkeep::{TICK, keep_up},
};
use crate::{
    Disconnected, Keyspace,
    dispatch::{ACTOR_DOWN, RunBatches},
    proxy::{
        conn::{CallError, CallResult, OnLoss},
        pool::Servers,
        routing::{Prefix, PublishedCommands, Router},
    },
};

/// The actor that sends requests on to upstreams.
#[derive(Debug)]
pub(crate) struct ProxyActor(Rc<RefCell<ProxyState>>);

impl ProxyActor {
    pub(super) fn new(
        servers: Servers,
        router: Option<Box<dyn Router>>,
        prefix: Option<Prefix>,
        on_loss: OnLoss,
    ) -> Self {
        ProxyActor(ProxyState::new(servers, router, prefix, on_loss, |proxy, index, is_first| {
            actix_rt::spawn(keep_up(proxy, index, is_first));
        }))
    }

    /// Lets the requests of clients wait until a future has ended.
    pub(super) fn wait_for(&self, start: Pin<Box<dyn Future<Output = ()>>>) {
        self.0.borrow_mut().is_starting = true;
        let proxy = Rc::downgrade(&self.0);
        actix_rt::spawn(async move {
            // The future is the application's code, so it may panic.
            let _ = actix_rt::spawn(start).await;
            if let Some(proxy) = proxy.upgrade() {
                let mut proxy = proxy.borrow_mut();
                proxy.is_starting = false;
                proxy.upstreams_changed();
            }
        });
    }
}

impl Actor for ProxyActor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.0.borrow_mut().pool.open_all();
        // An interval of the context would keep the actor alive after its last address is dropped.
        let proxy = Rc::downgrade(&self.0);
        actix_rt::spawn(async move {
            loop {
                sleep(TICK).await;
                let Some(proxy) = proxy.upgrade() else { return };
                proxy.borrow_mut().tick();
            }
        });
    }
}

impl Handler<RunBatches> for ProxyActor {
    type Result = ();

    fn handle(&mut self, mut message: RunBatches, _: &mut Self::Context) {
        let Some(queue) = message.take_queue() else { return };
        let mut proxy = self.0.borrow_mut();
        let actor_id = queue.actor_id();
        let mut batches = queue.take();
        for batch in batches.drain(..) {
            proxy.begin(batch, actor_id);
        }
        queue.give_back(batches);
        proxy.complete();
    }
}

impl Handler<Disconnected> for ProxyActor {
    type Result = ();

    fn handle(&mut self, Disconnected(client): Disconnected, _: &mut Self::Context) {
        let mut proxy = self.0.borrow_mut();
        proxy.dedicated.remove(&client.identity());
        proxy.blamed.remove(&client);
        proxy.reply_sizes.remove(&client);
        proxy.forget_queued(&client);
        proxy.in_flight.leave(&client);
        proxy.waiting.batches.retain(|(batch, _)| batch.client.identity() != client.identity());
    }
}

/// The message that sends a command of the application.
#[derive(Debug, Message)]
#[rtype(result = "CallResult")]
pub(super) struct SendCommand(pub(super) Vec<Bytes>);

impl Handler<SendCommand> for ProxyActor {
    type Result = ResponseFuture<CallResult>;

    fn handle(&mut self, SendCommand(words): SendCommand, _: &mut Self::Context) -> Self::Result {
        let (answer, reply) = oneshot::channel();
        let mut proxy = self.0.borrow_mut();
        proxy.call((words, answer));
        proxy.complete();
        Box::pin(async move { reply.await.unwrap_or(Err(CallError::Lost(ACTOR_DOWN))) })
    }
}

/// The message that starts a feed for the application.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) enum StartFeed {
    /// Sends `SUBSCRIBE` or `PSUBSCRIBE` with these names.
    Subscribe(&'static str, Vec<Bytes>, Consumer),
    /// Sends this `CLIENT TRACKING` request.
    Track(Vec<Bytes>, Consumer),
}

impl Handler<StartFeed> for ProxyActor {
    type Result = ();

    fn handle(&mut self, start: StartFeed, _: &mut Self::Context) {
        let mut proxy = self.0.borrow_mut();
        match start {
            StartFeed::Subscribe(command, names, consumer) => proxy.subscribe(command, names, consumer),
            StartFeed::Track(request, consumer) => drop(proxy.track(request, consumer)),
        }
    }
}

/// The message that makes a proxy serve the clients of an application.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ServeClients {
    /// The clients that track keys.
    pub(crate) keyspace: Keyspace,
    /// Gets the commands of the upstreams.
    pub(crate) commands: Arc<PublishedCommands>,
    /// The worker that the proxy belongs to, if each worker has one.
    pub(crate) worker: Option<u16>,
}

impl Handler<ServeClients> for ProxyActor {
    type Result = ();

    fn handle(&mut self, message: ServeClients, _: &mut Self::Context) {
        let ServeClients { keyspace, commands, worker } = message;
        let mut proxy = self.0.borrow_mut();
        proxy.routing.publish_to(commands);
        proxy.publish_commands();
        actix_rt::spawn(watch_trackers(Rc::downgrade(&self.0), keyspace, worker));
    }
}

/// The message that lets the router add and remove servers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct UpdateServers;

impl Handler<UpdateServers> for ProxyActor {
    type Result = ();

    fn handle(&mut self, _: UpdateServers, _: &mut Self::Context) {
        let mut proxy = self.0.borrow_mut();
        let ProxyState { routing, pool, .. } = &mut *proxy;
        routing.update(&mut pool.servers);
        pool.open_all();
        proxy.upstreams_changed();
    }
}
