//! A master, as a facade knows it.

/// A host and a port.
pub(super) type Endpoint = (String, u16);

/// A master with its name, and the servers around it; see [`Sentinel::update`](super::Sentinel::update).
///
/// ```
/// use thegiant::sentinel::Master;
///
/// let all = [("10.0.0.1", 6380), ("10.0.0.2", 6380)];
/// let master = Master::new("orders", "10.0.0.1", 6380).replicas([all[1]]).sentinels(all).epoch(7);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Master {
    pub(super) name: String,
    pub(super) endpoint: Endpoint,
    pub(super) replicas: Vec<Endpoint>,
    pub(super) sentinels: Vec<Endpoint>,
    pub(super) epoch: u64,
    pub(super) is_down: bool,
}

impl Master {
    /// Creates a master: the name that clients ask for, and its address.
    ///
    /// # Panics
    /// Panics if the name has other characters than letters, digits, `-`, `_` and `.`, as in Redis.
    #[track_caller]
    pub fn new(name: impl Into<String>, host: impl Into<String>, port: u16) -> Self {
        let name = name.into();
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert!(
            !name.is_empty() && name.bytes().all(is_valid),
            "the name {name:?} of a master has other characters than letters, digits, '-', '_' and '.'"
        );
        let endpoint = (host.into(), port);
        Master { name, endpoint, replicas: Vec::new(), sentinels: Vec::new(), epoch: 0, is_down: false }
    }

    /// Sets the replicas, from which clients may read.
    ///
    /// A server with the role of a [replica](crate::Role::Replica) runs only commands with the flag `stale`.
    pub fn replicas<H: Into<String>>(mut self, replicas: impl IntoIterator<Item = (H, u16)>) -> Self {
        self.replicas = replicas.into_iter().map(|(host, port)| (host.into(), port)).collect();
        self
    }

    /// Sets the servers that clients can ask. The facade leaves its own address out.
    pub fn sentinels<H: Into<String>>(mut self, sentinels: impl IntoIterator<Item = (H, u16)>) -> Self {
        self.sentinels = sentinels.into_iter().map(|(host, port)| (host.into(), port)).collect();
        self
    }

    /// Sets the number of this change, for example the epoch of a lease (default 0).
    ///
    /// A facade ignores a master whose number is smaller than that of the one it knows. So changes can arrive in any order.
    pub fn epoch(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self
    }

    /// Says that the master does not answer, and that there is no other one yet.
    ///
    /// Some clients then do not connect to it.
    pub fn down(mut self) -> Self {
        self.is_down = true;
        self
    }
}
