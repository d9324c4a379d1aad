//! Run with `cargo run --release -p kv`, then connect with any Redis client: `redis-cli -p 6380`.
//!
//! This is an in-memory key-value server with the string and generic key commands of Redis 7.0.
//!
//! With `--threads N`, the keys are divided among N threads. `RENAME`, `RENAMENX`, `COPY` and `MSETNX` then need keys of one
//! thread, or the reply is `-CROSSSLOT …`: give them the same part in braces, as in Redis Cluster.
//!
//! With `--tenants`, each user except `default` has keys and channels of its own.

use std::{io, sync::Arc};

use clap::Parser;
use cli::{ClusterOptions, ServerOptions, TenantOptions};
use kv::{DATABASES, Memory, Store, keyspace_info};
use thegiant::prelude::*;

/// In-memory key-value server with the string and generic key commands of Redis 7.0
#[derive(Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    tenants: TenantOptions,
}

#[thegiant::main]
async fn main() {
    cli::run(serve).await;
}

async fn serve(options: Options) -> io::Result<()> {
    let app = App::new().databases(DATABASES as u16);
    let keyspace = app.keyspace();
    let (shards, is_in_cluster) = (options.server.threads(), options.cluster.is_in_cluster());
    let counts: Vec<_> = (0..shards).map(|_| Arc::default()).collect();
    let app = app.info("Keyspace", keyspace_info(counts.clone())).mount_shards(shards, move |shard| {
        Store::new(Memory::new(keyspace.clone(), Arc::clone(&counts[shard]))).in_cluster(is_in_cluster)
    });
    let server = options.tenants.apply(options.server.bind(app.atomic())?);
    cli::serve(options.cluster.join(server, &options.server)?).await
}
