//! A store in etcd.

mod connection;
mod endpoint;
mod messages;

use std::{fmt, io, time::Duration};

use thegiant_tls::ClientTls;
use tokio::sync::watch;

use self::{
    connection::Connection,
    messages::{
        Compare, DeleteRangeRequest, Event, KeyValue, PutRequest, RangeRequest, RangeResponse, RequestOp,
        ResponseHeader, TxnRequest, TxnResponse, WatchCreateRequest, WatchRequest, WatchResponse,
    },
};
use crate::{Entry, Revision, Store, Swap, store::is_heartbeat};

/// Time until the changes are watched again after an error.
const WATCH_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A [`Store`] in etcd 3.4 or later. *Feature `etcd`.*
///
/// The member learns of changes at once. `etcdctl get --prefix /shop/` shows the entries.
///
/// ```no_run
/// use thegiant_cluster::{Etcd, Member};
///
/// # #[thegiant::main]
/// # async fn main() -> std::io::Result<()> {
/// let endpoints = ["http://10.0.0.1:2379", "http://10.0.0.2:2379", "http://10.0.0.3:2379"];
/// let store = Etcd::new(endpoints, "/shop/")?;
/// let member = Member::new(store, "a", "10.0.0.4:6380");
/// # Ok(())
/// # }
/// ```
pub struct Etcd {
    connection: Connection,
    prefix: String,
    /// The revision up to which the member knows all changes; 0 before the first list.
    known: watch::Sender<i64>,
}

impl Etcd {
    /// Creates a store for the keys with a prefix. Connects later, to one endpoint at a time.
    ///
    /// An endpoint is `http://HOST:PORT`, or `https://HOST:PORT` for an encrypted connection. The prefix tells the members of different
    /// applications apart.
    ///
    /// # Errors
    /// If an endpoint is no such address, or if there is none.
    ///
    /// # Panics
    /// Panics outside of an event loop.
    pub fn new(
        endpoints: impl IntoIterator<Item = impl AsRef<str>>,
        prefix: impl Into<String>,
    ) -> io::Result<Self> {
        let known = watch::Sender::new(0);
        Ok(Etcd { connection: Connection::new(endpoints)?, prefix: prefix.into(), known })
    }

    /// Sets the user and the password.
    ///
    /// The user needs the role to read and write the keys with the prefix.
    ///
    /// ```no_run
    /// # use thegiant_cluster::Etcd;
    /// # fn store(password: String) -> std::io::Result<Etcd> {
    /// Ok(Etcd::new(["https://10.0.0.1:2379"], "/shop/")?.user("shop", password))
    /// # }
    /// ```
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.connection.set_user(name.into(), password.into());
        self
    }

    /// Sets the certificates for endpoints with `https`.
    ///
    /// They are the authorities of the servers, and the certificate of the client.
    ///
    /// Without it, the certificates of the servers come from authorities that the operating system trusts. The files are read again for each
    /// connection.
    ///
    /// ```no_run
    /// use thegiant_cluster::{ClientTls, Etcd};
    ///
    /// # fn store() -> std::io::Result<Etcd> {
    /// let tls = ClientTls::new().ca("/etc/shop/etcd-ca.crt").certificate("/etc/shop/shop.crt", "/etc/shop/shop.key");
    /// Etcd::new(["https://10.0.0.1:2379", "https://10.0.0.2:2379"], "/shop/")?.tls(tls)
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a file is unusable, or if no endpoint begins with `https`.
    ///
    /// # Panics
    /// Panics outside of an event loop.
    pub fn tls(mut self, tls: ClientTls) -> io::Result<Self> {
        self.connection.set_tls(&tls)?;
        Ok(self)
    }

    fn key(&self, key: &str) -> Vec<u8> {
        format!("{}{key}", self.prefix).into_bytes()
    }

    /// Returns the first key, and the key after the last one, that can have the prefix.
    fn range(&self) -> (Vec<u8>, Vec<u8>) {
        let mut end = self.prefix.clone().into_bytes();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return (self.key(""), end);
            }
        }
        // All keys.
        (vec![0], vec![0])
    }

    /// Waits for a change after those that the member knows, in a new stream of changes.
    async fn watch(&self) -> io::Result<()> {
        let listed = self.known.subscribe().wait_for(|known| *known > 0).await.map(|known| *known);
        let start_revision = listed.map_err(io::Error::other)? + 1;
        let (key, range_end) = self.range();
        let request = WatchRequest { create: Some(WatchCreateRequest { key, range_end, start_revision }) };
        let mut answers = self.connection.stream("/etcdserverpb.Watch/Watch", request).await?;
        loop {
            let answer: Option<WatchResponse> = answers.message().await.map_err(io::Error::other)?;
            let answer = answer.filter(|answer| !answer.canceled);
            let answer = answer.ok_or_else(|| io::Error::other("etcd: the watch has ended"))?;
            if answer.events.iter().any(|event| self.is_change(event)) {
                let revisions = answer.events.into_iter().filter_map(|event| Some(event.kv?.mod_revision));
                // A list may have seen later changes.
                self.known.send_modify(|known| *known = revisions.fold(*known, i64::max));
                return Ok(());
            }
        }
    }

    /// Returns whether an event is more than a heartbeat.
    fn is_change(&self, event: &Event) -> bool {
        let is_renewal = |kv: &KeyValue| {
            let key = String::from_utf8_lossy(&kv.key);
            key.strip_prefix(&self.prefix).is_some_and(is_heartbeat) && kv.create_revision != kv.mod_revision
        };
        const PUT: i32 = 0;
        event.kind != PUT || !event.kv.as_ref().is_some_and(is_renewal)
    }

    fn entry(&self, kv: KeyValue) -> io::Result<Entry> {
        let text = |bytes| String::from_utf8(bytes).map_err(io::Error::other);
        let key = text(kv.key)?;
        let key = key.strip_prefix(&self.prefix).unwrap_or(&key).to_owned();
        Ok(Entry { key, value: text(kv.value)?, revision: kv.mod_revision.cast_unsigned() })
    }
}

impl Store for Etcd {
    async fn list(&self) -> io::Result<Vec<Entry>> {
        let (key, range_end) = self.range();
        let answer = self.connection.call("/etcdserverpb.KV/Range", RangeRequest { key, range_end });
        let RangeResponse { header, kvs } = answer.await?;
        self.known.send_replace(revision(header)?);
        kvs.into_iter().map(|kv| self.entry(kv)).collect()
    }

    async fn swap(&self, key: &str, expected: Option<Revision>, value: Option<&str>) -> io::Result<Swap> {
        let key = self.key(key);
        let compare = Compare {
            result: 0,
            target: Compare::MOD,
            key: key.clone(),
            mod_revision: Some(expected.unwrap_or(0).cast_signed()),
        };
        let operation = match value.map(|value| value.as_bytes().to_vec()) {
            Some(value) => RequestOp { put: Some(PutRequest { key, value }), delete: None },
            None => RequestOp { put: None, delete: Some(DeleteRangeRequest { key }) },
        };
        let request = TxnRequest { compare: vec![compare], success: vec![operation] };
        let TxnResponse { header, succeeded } = self.connection.call("/etcdserverpb.KV/Txn", request).await?;
        if !succeeded {
            return Ok(Swap::Conflict);
        }
        Ok(Swap::Done(revision(header)?.cast_unsigned()))
    }

    async fn changed(&self) {
        while self.watch().await.is_err() {
            tokio::time::sleep(WATCH_AGAIN_AFTER).await;
        }
    }
}

/// Returns the revision of the store when it has answered.
fn revision(header: Option<ResponseHeader>) -> io::Result<i64> {
    let header = header.ok_or_else(|| io::Error::other("etcd: an answer has no revision"))?;
    Ok(header.revision)
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
