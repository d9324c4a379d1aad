//! The queues and jobs of one shard.

use bytes::Bytes;
use thegiant::slot;

use crate::job::Id;

/// Prefix of the queues for dead jobs: dead jobs of the queue `mail` are in the queue `dead:mail`.
const DEAD: &[u8] = b"dead:";

/// The number of a shard, and the number of all shards.
///
/// It decides which queues and which job ids the shard has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) number: u16,
    pub(crate) count: u16,
}

impl Shard {
    /// The shard of a server that has no others.
    pub(crate) const ONLY: Self = Shard { number: 0, count: 1 };

    /// Returns whether there are other shards.
    pub(crate) fn has_others(self) -> bool {
        self.count > 1
    }

    /// Returns whether a queue belongs to this shard.
    pub(crate) fn has_queue(self, queue: &[u8]) -> bool {
        !self.has_others() || thegiant::shard(queue, self.count) == self.number
    }

    /// Returns whether a job with this id belongs to this shard.
    ///
    /// Ids are divided as names of queues are.
    pub(crate) fn has_id(self, id: Id) -> bool {
        self.has_queue(&id.format())
    }

    /// Returns the name of the queue for the dead jobs of a queue.
    ///
    /// It has to belong to this shard too.
    ///
    /// With several shards, it has the slot of the queue: `dead:{mail}` for `mail`.
    pub(crate) fn dead_queue(self, queue: &[u8]) -> Bytes {
        let names = [[DEAD, queue].concat(), [DEAD, b"{", queue, b"}"].concat()];
        let belongs = |name: &Vec<u8>| !self.has_others() || slot(name) == slot(queue);
        // A closing brace in the name of the queue can make both impossible.
        let numbered = || (0u64..).map(|number| [DEAD, format!("{{{number}}}").as_bytes(), queue].concat());
        names
            .into_iter()
            .find(belongs)
            .or_else(|| numbered().find(|name| self.has_queue(name)))
            .unwrap_or_default()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_queue_belongs_to_the_shard_of_its_queue() {
        let alone = Shard { number: 0, count: 1 };
        for queue in ["mail", "{mail}fast", "a}b"] {
            assert_eq!(alone.dead_queue(queue.as_bytes()), format!("dead:{queue}"));
        }
        for queue in ["mail", "{mail}fast", "a{b", "a}b", "{}a", "", "}{"] {
            let shard = Shard { number: thegiant::shard(queue.as_bytes(), 7), count: 7 };
            let dead = shard.dead_queue(queue.as_bytes());
            assert!(shard.has_queue(&dead), "{dead:?} is not in the shard of {queue}");
        }
        let shard = Shard { number: thegiant::shard(b"mail", 7), count: 7 };
        assert_eq!(shard.dead_queue(b"mail"), "dead:{mail}");
        assert_eq!(shard.dead_queue(b"{mail}fast"), "dead:{mail}fast");
    }
}
