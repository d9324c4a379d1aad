//! The servers behind the balancer, and the faults that they can have.

use std::time::Duration;

use fastrand::Rng;

use super::{course::Loss, redis::Redis};
use crate::Result;

/// Servers behind the balancer.
pub(crate) trait Setting {
    /// Returns the options of the balancer.
    fn options(&self) -> Vec<String>;

    /// Returns the writes that may be lost in a lossy fault.
    fn loss(&self) -> Loss;

    fn faults(&self) -> &'static [Fault];

    /// Brings a fault about. At the end, all servers run again.
    fn inflict(&mut self, fault: &'static str, rng: &mut Rng) -> Result<()>;

    /// Returns whether all servers work, agree, and are in sync.
    fn is_settled(&self) -> Result<bool>;

    /// Returns the values that the servers responsible for a key have.
    fn find(&self, key: &str) -> Result<Vec<Option<Vec<u8>>>>;
}

pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// The servers may lose acknowledged writes.
    pub(crate) is_lossy: bool,
}

pub(crate) const fn lossless(name: &'static str) -> Fault {
    Fault { name, is_lossy: false }
}

pub(crate) const fn lossy(name: &'static str) -> Fault {
    Fault { name, is_lossy: true }
}

/// Closes all connections to a server several times.
pub(crate) fn kill_clients(redis: &Redis, rng: &mut Rng) -> Result<()> {
    for _ in 0..rng.u8(1..5) {
        redis.call("CLIENT KILL TYPE normal SKIPME yes")?;
        std::thread::sleep(Duration::from_millis(rng.u64(..400)));
    }
    Ok(())
}

/// Sleeps for a random time of milliseconds.
pub(crate) fn pause(rng: &mut Rng, milliseconds: std::ops::Range<u64>) {
    std::thread::sleep(milliseconds_of(rng, milliseconds));
}

pub(crate) fn milliseconds_of(rng: &mut Rng, milliseconds: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(milliseconds))
}
