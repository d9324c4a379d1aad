//! An instance that takes part in a cluster.

use std::{
    cell::Cell,
    collections::BTreeSet,
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    io,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use thegiant::{Server, ServerHandle, cluster::Topology, sentinel::Sentinel};
use tokio::sync::{oneshot, watch};

use crate::{
    Members, Partitions, Store, driver::Driver, frontend::Frontend, protocol::Settings, store::AnyStore,
};

/// The shortest lease. A shorter one would end while a busy machine does something else.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// An instance of an application that shares the partitions with the other instances.
///
/// See the [crate](crate) for an example.
#[must_use = "a member does nothing until it runs"]
pub struct Member {
    store: Arc<dyn AnyStore>,
    name: String,
    address: String,
    partitions: u16,
    lease: Duration,
    /// The facade and the name of the master, if one member has all keys.
    standby: Option<(Sentinel, String)>,
    members: watch::Sender<Arc<Members>>,
}

impl Member {
    /// Creates a member with this name and this address for clients.
    ///
    /// The name is that of [`Cluster::member`](thegiant::cluster::Cluster::member): letters, digits, `-`, `_` and `.`. A process that is started again
    /// has the same name. Two processes must not run with the same name: the second one gets an error.
    ///
    /// The address is `HOST:PORT`, with an IPv6 address in brackets.
    pub fn new(store: impl Store, name: impl Into<String>, address: impl Into<String>) -> Self {
        Member {
            store: Arc::new(store),
            name: name.into(),
            address: address.into(),
            partitions: 16,
            lease: Duration::from_secs(5),
            standby: None,
            members: watch::Sender::new(Arc::default()),
        }
    }

    /// Sets the number of partitions (default 16).
    ///
    /// The first member of all decides: it can never be changed later.
    ///
    /// An instance has whole partitions, so there should be several for each instance that the application may ever have.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets the lease (default 5 seconds).
    ///
    /// Other instances take over from an instance of which they have seen no heartbeat for this time.
    ///
    /// An instance sends a heartbeat three times per lease. It stops serving before its lease ends.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Makes one member at a time serve all keys, for clients that know Redis Sentinel.
    ///
    /// There is one partition. Its owner is the master, and the other members wait as [replicas](thegiant::Role). The facade names the
    /// master by this name. The program [mounts](Sentinel::mount) it. The server has no [`Server::cluster`].
    ///
    /// ```no_run
    /// use thegiant::prelude::*;
    /// use thegiant_cluster::{Member, MemoryStore};
    ///
    /// # async fn run(partitions: impl thegiant_cluster::Partitions) -> std::io::Result<()> {
    /// let member = Member::new(MemoryStore::new(), "a", "10.0.0.1:6380");
    /// let (member, sentinel) = member.standby("orders")?;
    /// let server = Server::new(sentinel.mount(App::new())).bind("0.0.0.0:6380")?;
    /// member.run(server, partitions).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the name or the address of the member is invalid.
    pub fn standby(mut self, name: impl Into<String>) -> io::Result<(Self, Sentinel)> {
        let own = self.own_topology()?;
        let sentinel = Sentinel::new(own.owner(0).host(), own.owner(0).port());
        self.standby = Some((sentinel.clone(), name.into()));
        Ok((self.partitions(1), sentinel))
    }

    /// Returns a view of all members, which changes while [`run`](Self::run) runs.
    ///
    /// ```
    /// use thegiant_cluster::{Member, MemoryStore};
    ///
    /// # #[thegiant::main]
    /// # async fn main() {
    /// let member = Member::new(MemoryStore::new(), "a", "10.0.0.1:6380");
    /// let mut members = member.members();
    /// thegiant::actix::spawn(async move {
    ///     while members.changed().await.is_ok() {
    ///         let members = members.borrow_and_update().clone();
    ///         if let Some(owner) = members.owner(0) {
    ///             println!("version {}: {} owns partition 0", members.version(), owner.address());
    ///         }
    ///     }
    /// });
    /// # }
    /// ```
    #[must_use]
    pub fn members(&self) -> watch::Receiver<Arc<Members>> {
        self.members.subscribe()
    }

    /// Runs the server as a member, until the server stops.
    ///
    /// The server needs [`Server::cluster`] with [`Cluster::member`](thegiant::cluster::Cluster::member) of the same name, unless the member
    /// is a [standby](Self::standby). When the server is stopped, the member first closes its
    /// partitions and gives them to other members, which need not wait for the end of its lease. Then the server stops.
    ///
    /// # Errors
    /// If the server fails, if its cluster has another name for it, if a partition cannot be [opened](Partitions::open), if another process runs with the same name, or if the
    /// store has another number of partitions. A store that cannot be reached is no error: the member tries again, and does not serve
    /// without a lease.
    pub async fn run(self, server: Server, partitions: impl Partitions) -> io::Result<()> {
        let Member { store, members, .. } = &self;
        let own = self.own_topology()?;
        let settings = self.settings(&own)?;
        let handle = server.handle();
        let frontend = self.frontend(handle.clone(), &own);
        frontend.check(&own)?;
        frontend.serve(&BTreeSet::new())?;
        let driver = Driver::new(settings, Arc::clone(store), partitions, frontend, members.clone());
        let (leave, told_to_leave) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let is_stopping = Rc::new(Cell::new(false));
        let stops = Rc::clone(&is_stopping);
        let server = server.before_stop(async move {
            stops.set(true);
            // The member may have ended already.
            let _ = leave.send(());
            let _ = ended.await;
        });
        let member = async {
            let result = driver.run(told_to_leave).await;
            drop(end);
            // A second stop would end it at once.
            if !is_stopping.get() {
                handle.stop();
            }
            result
        };
        // The server first, so that its actors have started when the member opens the first partition.
        both(server.run(), member).await
    }

    fn frontend(&self, server: ServerHandle, own: &Topology) -> Frontend {
        match &self.standby {
            Some((sentinel, name)) => {
                Frontend::standby(server, sentinel.clone(), name.clone(), own.owner(0).clone())
            }
            None => Frontend::Cluster { server, partitions: self.partitions },
        }
    }

    /// Returns the topology in which this member has all keys.
    ///
    /// # Errors
    /// If the name or the address is invalid.
    fn own_topology(&self) -> io::Result<Topology> {
        let slots = [0..=thegiant::SLOTS - 1];
        Ok(Topology::builder(1).instance(&self.name, &self.address, slots).build()?)
    }

    /// Checks the settings.
    fn settings(&self, own: &Topology) -> io::Result<Settings> {
        let Member { name, address, partitions, lease, .. } = self;
        let mistake = if own.owner(0).host().is_empty() {
            format!(
                "the address {address:?} has no host: give the one that clients and other members connect to"
            )
        } else if *partitions == 0 || *partitions > thegiant::SLOTS {
            format!("{partitions} partitions are not possible: give a number from 1 to {}", thegiant::SLOTS)
        } else if *lease < SHORTEST_LEASE {
            format!("a lease of {lease:?} is too short: give at least {SHORTEST_LEASE:?}")
        } else {
            let (name, address) = (name.clone(), address.clone());
            // Each `RandomState` has random keys.
            let incarnation = RandomState::new().hash_one(0);
            return Ok(Settings { name, address, partitions: *partitions, lease: *lease, incarnation });
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, mistake))
    }
}

/// Runs the server and the member, until the server has ended, or an error has ended the member.
async fn both(
    server: impl Future<Output = io::Result<()>>,
    member: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let (mut server, member) = (pin!(server), pin!(member));
    tokio::select! {
        biased;
        result = &mut server => result,
        result = member => {
            let stopped = server.await;
            result.and(stopped)
        }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Member { name, address, partitions, lease, .. } = self;
        f.debug_struct("Member")
            .field("name", name)
            .field("address", address)
            .field("partitions", partitions)
            .field("lease", lease)
            .finish_non_exhaustive()
    }
}
