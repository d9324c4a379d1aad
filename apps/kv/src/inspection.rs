//! The commands that show how a key is stored: `OBJECT` and `MEMORY`.

use thegiant::{prelude::*, resp::parse_integer};

use crate::{
    databases::{Databases, Result},
    store::Store,
};

/// Memory of an entry besides its key and its value, in bytes: pointer and length, the hash, the place in the index, the
/// header, and what the allocator needs.
const ENTRY: usize = 16 + 8 + 18 + 2 + 16;

/// Maximum length of a value that Redis stores in one piece with its header.
const MAX_EMBEDDED: usize = 44;

#[commands(rows = INSPECTION, group = "generic")]
impl<D: Databases> Store<D> {
    /// Returns how Redis would store the value of a key.
    #[command("OBJECT ENCODING", readonly)]
    fn object_encoding(&self, client: &Client, #[key(RO)] key: Key<&[u8]>) -> Result<Option<&'static str>> {
        Ok(self.data.get(client.db(), *key)?.map(|value| encoding(value.as_ref())))
    }

    /// Returns how often a key is used, which the server does not count.
    #[command("OBJECT FREQ", readonly)]
    fn object_freq(&self, client: &Client, #[key(RO)] key: Key<&[u8]>) -> Result<Option<i64>> {
        if self.data.contains(client.db(), *key)? { Err(NO_FREQUENCIES) } else { Ok(None) }
    }

    /// Returns the seconds since the last access to a key, which is always this one.
    #[command("OBJECT IDLETIME", readonly)]
    fn object_idletime(&self, client: &Client, #[key(RO)] key: Key<&[u8]>) -> Result<Option<i64>> {
        Ok(self.data.contains(client.db(), *key)?.then_some(0))
    }

    /// Returns the number of references to the value of a key, which is 1.
    #[command("OBJECT REFCOUNT", readonly)]
    fn object_refcount(&self, client: &Client, #[key(RO)] key: Key<&[u8]>) -> Result<Option<i64>> {
        Ok(self.data.contains(client.db(), *key)?.then_some(1))
    }

    /// Returns the memory that a key and its value take, in bytes.
    #[command("MEMORY USAGE", readonly, group = "server")]
    fn memory_usage(
        &self,
        client: &Client,
        #[key(RO)] key: Key<&[u8]>,
        options: UsageOptions,
    ) -> Result<Option<usize>> {
        if options.samples.is_some_and(|samples| samples < 0) {
            return Err(Error::SYNTAX);
        }
        Ok(self.data.get(client.db(), *key)?.map(|value| ENTRY + key.len() + value.as_ref().len()))
    }
}

/// The options of `MEMORY USAGE`. Only values with elements need samples.
#[derive(Args)]
struct UsageOptions {
    #[arg("SAMPLES", name = "count")]
    samples: Option<i64>,
}

/// Returns the name that Redis has for the form of a new value.
fn encoding(value: &[u8]) -> &'static str {
    match value.len() {
        1..=20 if parse_integer::<i64>(value).is_some() => "int",
        0..=MAX_EMBEDDED => "embstr",
        _ => "raw",
    }
}

const NO_FREQUENCIES: Error = Error::from_static(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between \
     policies at runtime LRU and LFU data will take some time to adjust.",
);
