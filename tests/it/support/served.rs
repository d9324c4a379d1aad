//! An application that is served in this process.

use std::{
    io,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use actix::System;
use thegiant::{App, Server, ServerHandle};

/// The address that takes a free port.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";

/// A server in a thread and an actix system of its own. It is stopped when it is dropped; a panic in
/// it fails the test.
#[derive(Debug)]
pub(crate) struct Served {
    addresses: Vec<String>,
    handle: ServerHandle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Served {
    /// Serves an application on a free port.
    pub(crate) fn start(app: impl FnOnce() -> App + Send + 'static) -> Self {
        Self::with(app, |server| server.bind(ANY_PORT))
    }

    /// Serves an application as `configure` says.
    pub(crate) fn with(
        app: impl FnOnce() -> App + Send + 'static,
        configure: impl FnOnce(Server) -> io::Result<Server> + Send + 'static,
    ) -> Self {
        Self::try_with(app, configure).expect("it can be bound")
    }

    /// The same; the error is that of `configure`.
    pub(crate) fn try_with(
        app: impl FnOnce() -> App + Send + 'static,
        configure: impl FnOnce(Server) -> io::Result<Server> + Send + 'static,
    ) -> io::Result<Self> {
        let (started, start) = mpsc::channel();
        let thread = thread::spawn(move || {
            System::new().block_on(async move {
                let server = configure(Server::new(app()).disable_signals());
                let told = |server: &Server| {
                    let addresses = server.addresses().iter().map(ToString::to_string).collect();
                    (addresses, server.handle())
                };
                match server {
                    Ok(server) => {
                        started.send(Ok(told(&server))).expect("the test waits for it");
                        server.run().await
                    }
                    Err(error) => {
                        started.send(Err(error)).expect("the test waits for it");
                        Ok(())
                    }
                }
            })
        });
        let (addresses, handle) = start.recv().expect("the server starts")?;
        Ok(Served { addresses, handle, thread: Some(thread) })
    }

    /// Where it listens, first.
    pub(crate) fn address(&self) -> &str {
        &self.addresses[0]
    }

    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    pub(crate) fn handle(&self) -> &ServerHandle {
        &self.handle
    }

    /// Waits until it has ended, which something else has brought about.
    pub(crate) fn ended(mut self) -> io::Result<()> {
        let thread = self.thread.take().expect("it is joined once");
        thread.join().expect("it ends without a panic")
    }

    /// Stops it, and waits until it has ended in order.
    pub(crate) fn stop(self) -> io::Result<()> {
        self.handle.stop();
        self.ended()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // At the second call it does not wait for clients.
        self.handle.stop();
        self.handle.stop();
        let ended = thread.join();
        if !thread::panicking() {
            assert!(ended.is_ok(), "the server panicked");
        }
    }
}
