//! Run with `cargo run --release -p kv-disk`. `README.md` describes the server.
//!
//! It provides the commands of `kv` for keys on disk. A reply to a write waits until the disk holds the
//! write.
//!
//! - `disk`: the databases of `kv`, stored in one ordered map of bytes; `layout`: the format of the map
//! - `engine`: the interface of such a map; `lsm`, `sqlite`: the two implementations
//! - `moved`: removes the keys of other instances of a cluster
//! - `options`: the command line

mod disk;
mod engine;
mod layout;
mod lsm;
mod moved;
mod options;
mod sqlite;

use std::{io, path::Path, time::Duration};

use actix_rt::{task::spawn_blocking, time::interval};
use kv::{DATABASES, Store, keyspace_info};
use thegiant::prelude::*;

use crate::{
    disk::Disk,
    engine::Engine,
    lsm::Lsm,
    options::{Durability, EngineName, Options},
    sqlite::Sqlite,
};

#[thegiant::main]
async fn main() {
    cli::run(async |options: Options| match options.engine {
        EngineName::Lsm => serve::<Lsm>(&options).await,
        EngineName::Sqlite => serve::<Sqlite>(&options).await,
    })
    .await;
}

async fn serve<E: Engine>(options: &Options) -> io::Result<()> {
    let mut folder = options.folder()?;
    let engine = options.open::<E>()?;
    E::FILES.iter().for_each(|file| folder.watch(Path::new(E::NAME).join(file)));
    let app = App::new().databases(DATABASES as u16);
    let is_sync = options.durability == Durability::Always;
    let mut disk = Disk::open(engine, folder, is_sync, app.keyspace()).map_err(io::Error::other)?;
    if let Some(is_moved) = options.moved_keys.moved_keys(&options.cluster)? {
        let removed = disk.remove_keys(is_moved).map_err(io::Error::other)?;
        tracing::info!(removed, "keys of other instances are removed");
    }
    if let Durability::Every(time) = options.durability {
        sync_every(time, disk.syncer());
    }
    let app = app.info("Keyspace", keyspace_info(vec![disk.counts()]));
    let app = app.mount(Store::new(disk).start());
    let server = options.tenants.apply(options.server.bind(app)?);
    cli::serve(options.cluster.join(server, &options.server)?).await
}

/// Syncs committed changes to disk at this interval, on the thread pool for blocking work.
fn sync_every(time: Duration, sync: impl Fn() -> engine::Result<()> + Clone + Send + 'static) {
    actix_rt::spawn(async move {
        let mut times = interval(time);
        loop {
            times.tick().await;
            if let Ok(Err(error)) = spawn_blocking(sync.clone()).await {
                tracing::error!(%error, "sync failed: committed writes may not be on the disk");
            }
        }
    });
}
