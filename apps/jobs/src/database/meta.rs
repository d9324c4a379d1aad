//! The table `meta`: the version of the tables, and the process that may write to them.

use super::Result;
use crate::shard::Shard;

/// Version of the tables. A change of them needs a new one, and code that brings a database of this version there.
const VERSION: i64 = 3;

pub(super) const SELECT_VERSION: &str = "SELECT version FROM meta";
pub(super) const SELECT_META: &str = "SELECT run, epoch, partitions FROM meta";

/// The jobs that a process opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All jobs of the database. They belong to one process.
    All,
    /// The jobs of one of several partitions, which the process owns since this epoch.
    Partition(Shard, u64),
}

/// The owner of the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// Changes with the owner. A process whose run is another one may no longer write.
    pub(super) run: u32,
    /// The epoch of the owner, if the jobs are those of a partition.
    pub(super) epoch: i64,
    /// The number of partitions. It never changes.
    pub(super) partitions: i64,
}

impl Meta {
    /// Converts a row of [`SELECT_META`].
    pub(super) fn read(run: i64, epoch: i64, partitions: i64) -> Result<Self> {
        Ok(Meta { run: u32::try_from(run)?, epoch, partitions })
    }

    /// Returns the values of a new row.
    pub(super) fn values(self) -> [i64; 4] {
        [VERSION, self.run.into(), self.epoch, self.partitions]
    }
}

/// Returns the statements that bring the tables from their version to that of this program.
///
/// # Errors
/// Returns an error if this program does not know the tables.
pub(super) fn upgrade(version: Option<i64>) -> Result<&'static str> {
    match version {
        // Each start creates the tables that are missing, and writes the version.
        None | Some(2 | VERSION) => Ok(""),
        Some(1) => Ok(include_str!("upgrade_to_2.sql")),
        Some(version) => Err(format!(
            "the tables have version {version}, and this program knows version {VERSION}: use the program that wrote them, \
             or another database"
        )
        .into()),
    }
}

impl Scope {
    /// Returns the shard that the jobs belong to.
    pub(crate) fn shard(self) -> Shard {
        match self {
            Scope::All => Shard::ONLY,
            Scope::Partition(shard, _) => shard,
        }
    }

    /// Returns the next owner of the jobs: this process. `known` is the last one.
    ///
    /// # Errors
    /// Returns an error if the jobs have a later owner already, or if they are divided into another number of partitions.
    pub(super) fn next(self, known: Option<Meta>) -> Result<Meta> {
        let epoch = match self {
            Scope::All => 0,
            Scope::Partition(_, epoch) => i64::try_from(epoch)?,
        };
        let partitions = self.shard().count.into();
        // Ids of run 0 name no job.
        let Some(known) = known else { return Ok(Meta { run: fastrand::u32(1..), epoch, partitions }) };
        if known.partitions != partitions {
            let known = known.partitions;
            return Err(format!("the jobs are divided into {known} partitions, and not into {partitions}: write --cluster-partitions {known}").into());
        }
        if let Scope::Partition(shard, _) = self
            && known.epoch >= epoch
        {
            return Err(format!(
                "an owner with epoch {} has opened the jobs, and this one has epoch {epoch}; if the store of the instances was \
                 replaced, stop them all and set epoch to 0 in jobs_{}.meta",
                known.epoch, shard.number
            )
            .into());
        }
        Ok(Meta { run: known.run.wrapping_add(1).max(1), epoch, partitions })
    }
}

/// The reason for a refused write. Clients get it, too.
pub(super) const TAKEN: &str =
    "another process owns the jobs now: connect again, and repeat the command with the new owner";

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Meta = Meta { run: 7, epoch: 0, partitions: 1 };

    fn text<T>(result: Result<T>) -> String {
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn each_start_has_a_run_of_its_own() {
        assert_ne!(Scope::All.next(None).expect("a run").run, 0);
        assert_eq!(Scope::All.next(Some(KNOWN)).expect("a run").run, 8);
        let last = Meta { run: u32::MAX, ..KNOWN };
        assert_eq!(Scope::All.next(Some(last)).expect("a run").run, 1);
    }

    #[test]
    fn a_partition_belongs_to_the_owner_with_the_greatest_epoch() {
        let scope = |epoch| Scope::Partition(Shard { number: 3, count: 12 }, epoch);
        let first = scope(5).next(None).expect("an owner");
        assert_eq!((first.epoch, first.partitions), (5, 12));
        let second = scope(6).next(Some(first)).expect("an owner");
        assert_eq!((second.epoch, second.run), (6, first.run.wrapping_add(1).max(1)));
        for epoch in [4, 5, 6] {
            let error = text(scope(epoch).next(Some(second)));
            let start =
                format!("an owner with epoch 6 has opened the jobs, and this one has epoch {epoch}; ");
            assert!(error.starts_with(&start) && error.ends_with(" in jobs_3.meta"), "{error}");
        }
    }

    #[test]
    fn the_number_of_partitions_stays() {
        let scope = Scope::Partition(Shard { number: 3, count: 12 }, 5);
        let known = Meta { epoch: 1, partitions: 16, ..KNOWN };
        let error = "the jobs are divided into 16 partitions, and not into 12: write --cluster-partitions 16";
        assert_eq!(text(scope.next(Some(known))), error);
    }

    #[test]
    fn tables_of_a_later_version_are_unknown() {
        assert!(upgrade(None).is_ok_and(str::is_empty) && upgrade(Some(2)).is_ok_and(str::is_empty));
        assert!(upgrade(Some(1)).is_ok_and(|statements| statements.contains("SET version = 2")));
        let error = text(upgrade(Some(4)));
        assert!(
            error.starts_with("the tables have version 4, and this program knows version 3: "),
            "{error}"
        );
    }
}
