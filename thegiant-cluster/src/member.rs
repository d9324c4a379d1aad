//! An instance that takes part in a cluster.

use std::{fmt, io, sync::Arc, time::Duration};

use thegiant::Server;
use tokio::sync::watch;

use crate::{Members, Partitions, Store, store::AnyStore};

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
            members: watch::Sender::default(),
        }
    }

    /// Sets the number of partitions (default 16). The first member of all decides: it can never be changed later.
    ///
    /// An instance has whole partitions, so there should be several for each instance that the application may ever have.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets the lease (default 5 seconds): other instances take over from an instance of which they have seen no heartbeat for this time.
    ///
    /// An instance sends a heartbeat three times per lease. It stops serving before its lease ends.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
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
    /// The server needs [`Server::cluster`] with [`Cluster::member`](thegiant::cluster::Cluster::member) of the same name. When it is told to stop, the member first closes its
    /// partitions and gives them to other members, so that clients are redirected. Then the server stops.
    ///
    /// # Errors
    /// If the server fails, if a partition cannot be [opened](Partitions::open), if another process runs with the same name, or if the
    /// store has another number of partitions. A store that cannot be reached is no error: the member tries again, and does not serve
    /// without a lease.
    pub async fn run(self, server: Server, partitions: impl Partitions) -> io::Result<()> {
        let _ = partitions;
        server.run().await
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
