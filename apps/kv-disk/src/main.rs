//! Run with `cargo run --release -p kv-disk`; `README.md` says what it does.
//!
//! The commands of `kv`, for keys that are kept on disk. Replies wait until what they say is there.
//!
//! - `disk`: the databases of `kv`, in one ordered map of bytes; `layout`: how they lie in it
//! - `engine`: what such a map has to do; `lsm`, `sqlite`: two of them
//! - `options`: the command line

mod disk;
mod engine;
mod layout;
mod lsm;
mod options;
mod sqlite;

use std::time::Duration;

use actix_rt::{task::spawn_blocking, time::interval};
use cli::CommandLine;
use kv::Store;
use thegiant::prelude::*;

use crate::{
    disk::Disk,
    engine::Engine,
    lsm::Lsm,
    options::{Durability, EngineName, Options},
    sqlite::Sqlite,
};

#[actix::main]
async fn main() {
    let mut options = Options::default();
    let command_line = CommandLine::read(options::HELP, |name, values| options.set(name, values));
    match options.engine {
        EngineName::Lsm => serve::<Lsm>(command_line, &options).await,
        EngineName::Sqlite => serve::<Sqlite>(command_line, &options).await,
    }
}

async fn serve<E: Engine>(command_line: CommandLine, options: &Options) {
    let engine = options.open::<E>().unwrap_or_else(|error| cli::fail(1, &error));
    let disk = Disk::open(engine, options.durability == Durability::Always);
    let disk = disk.unwrap_or_else(|error| cli::fail(1, &error));
    if let Durability::Every(time) = options.durability {
        sync_every(time, disk.syncer());
    }
    let app = App::new();
    let store = Store::new(disk, app.keyspace());
    command_line.serve(app.info("Keyspace", store.info()).mount(store.start())).await;
}

/// Has the disk hold what has been written, from time to time, in a thread for what takes its time.
fn sync_every(time: Duration, sync: impl Fn() -> engine::Result<()> + Clone + Send + 'static) {
    actix_rt::spawn(async move {
        let mut times = interval(time);
        loop {
            times.tick().await;
            if let Ok(Err(error)) = spawn_blocking(sync.clone()).await {
                tracing::error!(%error, "what was written may not be on the disk");
            }
        }
    });
}
