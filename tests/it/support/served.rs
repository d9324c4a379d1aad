//! A server in the process of the test.

use std::{
    io,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use actix::System;
use thegiant::{App, Server, ServerHandle};

/// The address with which the system chooses a free port.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";

/// A server on its own thread, with its own actix system.
///
/// Dropping it stops the server. A panic of the server fails the test.
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

    /// Serves an application on a server that `configure` sets up.
    pub(crate) fn with(
        app: impl FnOnce() -> App + Send + 'static,
        configure: impl FnOnce(Server) -> io::Result<Server> + Send + 'static,
    ) -> Self {
        Self::try_with(app, configure).expect("the server can bind its address")
    }

    /// Serves an application like [`with`](Self::with). Returns the error of `configure`.
    pub(crate) fn try_with(
        app: impl FnOnce() -> App + Send + 'static,
        configure: impl FnOnce(Server) -> io::Result<Server> + Send + 'static,
    ) -> io::Result<Self> {
        let (started, start) = mpsc::channel();
        let thread = thread::spawn(move || {
            System::new().block_on(async move {
                let server = configure(Server::new(app()).disable_signals());
                let addresses_and_handle = |server: &Server| {
                    let addresses = server.addrs().iter().map(ToString::to_string).collect();
                    (addresses, server.handle())
                };
                match server {
                    Ok(server) => {
                        started
                            .send(Ok(addresses_and_handle(&server)))
                            .expect("the test waits for the start");
                        server.run().await
                    }
                    Err(error) => {
                        started.send(Err(error)).expect("the test waits for the start");
                        Ok(())
                    }
                }
            })
        });
        let (addresses, handle) = start.recv().expect("the server starts")?;
        Ok(Served { addresses, handle, thread: Some(thread) })
    }

    /// Returns the first address.
    pub(crate) fn address(&self) -> &str {
        &self.addresses[0]
    }

    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    pub(crate) fn handle(&self) -> &ServerHandle {
        &self.handle
    }

    /// Waits until the server ends, without stopping it.
    pub(crate) fn ended(mut self) -> io::Result<()> {
        let thread = self.thread.take().expect("the thread is joined once");
        thread.join().expect("the server does not panic")
    }

    /// Stops the server gracefully, and waits for its end.
    pub(crate) fn stop(self) -> io::Result<()> {
        self.handle.stop();
        self.ended()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // After the second call the server does not wait for its clients.
        self.handle.stop();
        self.handle.stop();
        let ended = thread.join();
        if !thread::panicking() {
            assert!(ended.is_ok(), "the server panicked");
        }
    }
}
