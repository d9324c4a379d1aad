//! The file of a topology, which a server reads again when it has changed.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::{ClusterState, Topology};

/// Interval between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The file of a topology, and its state as of the last look.
#[derive(Clone, Debug)]
pub(crate) struct TopologyFile {
    path: PathBuf,
    seen: Arc<Mutex<Option<Stamp>>>,
}

/// The time of the last change of a file, and its length.
type Stamp = (SystemTime, u64);

impl TopologyFile {
    pub(super) fn new(path: PathBuf) -> Self {
        TopologyFile { path, seen: Arc::default() }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read or has a mistake. The error names the file.
    pub(super) fn read(&self) -> io::Result<Topology> {
        // First: a change that comes in between is seen the next time.
        self.has_changed();
        let text = fs::read_to_string(&self.path).map_err(|error| self.mistake(error))?;
        Topology::parse(&text).map_err(|error| self.mistake(error.into()))
    }

    /// Returns the error with the name of the file.
    pub(super) fn mistake(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
    }

    /// Returns whether the file has changed since the last look.
    fn has_changed(&self) -> bool {
        let stamp = fs::metadata(&self.path).and_then(|file| Ok((file.modified()?, file.len()))).ok();
        // No code panics while it holds the lock.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *seen, stamp) != stamp
    }
}

impl ClusterState {
    /// Reads the file of the topology again, if there is one.
    pub(crate) fn reload(&self) {
        if let Some(file) = &self.file {
            self.take(file, file.read());
        }
    }

    /// Takes the topology of the file, or logs why not.
    fn take(&self, file: &TopologyFile, topology: io::Result<Topology>) {
        let take = |topology| self.set_topology(topology).map_err(|error| file.mistake(error.into()));
        if let Err(error) = topology.and_then(take) {
            tracing::error!(%error, "the topology is unchanged");
        }
    }
}

/// Reads the file of a topology again whenever it has changed.
pub(crate) async fn watch(cluster: Arc<ClusterState>) {
    let Some(file) = &cluster.file else { return };
    let mut interval = actix_rt::time::interval(LOOK_EVERY);
    loop {
        interval.tick().await;
        let looked_at = file.clone();
        // A slow disk must not hold up the connections of this thread.
        let look = move || looked_at.has_changed().then(|| looked_at.read());
        if let Ok(Some(topology)) = actix_rt::task::spawn_blocking(look).await {
            cluster.take(file, topology);
        }
    }
}
