//! The handle of a facade.

use std::{fmt, sync::Arc};

use actix::Actor;

use super::{
    actors::{FacadeActor, RoleActor},
    facade::Facade,
    master::Master,
};
use crate::App;

/// Answers the commands of Redis Sentinel, and tells subscribers when the master changes.
///
/// It is cheap to clone.
///
/// The [module](super) shows how to use it. Each clone is a handle to the same facade, for any thread.
#[derive(Clone)]
pub struct Sentinel(Arc<Facade>);

impl Sentinel {
    /// Creates a facade that knows no master. Clients reach it at this host and port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Sentinel(Arc::new(Facade::new((host.into(), port))))
    }

    /// Adds the facade to an application.
    ///
    /// # Panics
    /// Panics if the application has a command `SENTINEL`.
    #[track_caller]
    pub fn mount(&self, app: App) -> App {
        self.0.add_pubsub(app.pubsub());
        app.mount(FacadeActor(Arc::clone(&self.0)).start())
    }

    /// Returns an application with the facade alone, for a server on a separate port.
    ///
    /// `ROLE` says that it is a Sentinel. The crate redis and others use a server only if it says so.
    ///
    /// ```no_run
    /// use thegiant::{prelude::*, sentinel::Sentinel};
    ///
    /// # #[thegiant::main]
    /// # async fn main() -> std::io::Result<()> {
    /// let sentinel = Sentinel::new("10.0.0.1", 26380);
    /// let handle = sentinel.clone();
    /// Server::new(move || handle.app()).bind("0.0.0.0:26380")?.run().await
    /// # }
    /// ```
    pub fn app(&self) -> App {
        self.mount(App::new()).mount(RoleActor(Arc::clone(&self.0)).start())
    }

    /// Sets the addresses that clients get for the name of this master.
    ///
    /// If its address has changed, subscribers of `+switch-master` get `NAME OLD-HOST OLD-PORT HOST PORT`. Subscribers of `+slave` get each new
    /// replica. A master with a smaller [epoch](Master::epoch) than before changes nothing.
    ///
    /// ```
    /// use thegiant::sentinel::{Master, Sentinel};
    ///
    /// fn took_over(sentinel: &Sentinel, host: &str, epoch: u64) {
    ///     sentinel.update(Master::new("orders", host, 6380).epoch(epoch));
    /// }
    /// ```
    pub fn update(&self, master: Master) {
        self.0.update(master);
    }
}

impl fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentinel").field("masters", &*self.0.masters()).finish_non_exhaustive()
    }
}
