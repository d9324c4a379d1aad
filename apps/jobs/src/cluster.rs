//! Several instances, which divide the queues and take over from each other.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use actix::{WrapFuture, fut::ActorFutureExt};
use clap::Args;
use cli::{Secret, ServerOptions, seconds, usage_error};
use thegiant::{Address, cluster::Cluster, prelude::*};
use thegiant_cluster::{Member, Partitions};
use tokio::time::{sleep, timeout};

use crate::{
    cluster_store,
    database::{self, Changes, Scope},
    queues::Queues,
    server::Jobs,
    sharded,
    storage::{Partition, Storage, Stored},
    timeouts,
};

/// Time that commands have which began before the partition was closed. Later ones are refused.
const DRAIN: Duration = Duration::from_millis(20);

/// Time for which the next owner of a partition waits for a database that does not answer this one. It needs no wait to be safe.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Options of one of several instances.
#[derive(Args)]
#[command(next_help_heading = "Cluster options")]
pub(crate) struct ClusterOptions {
    /// Name of this instance of a cluster, whose instances share a PostgreSQL database and divide the queues
    #[arg(long, value_name = "NAME")]
    cluster_node: Option<String>,
    /// Address of this instance, for clients and the other instances [default: the address of --bind]
    #[arg(long, value_name = "HOST:PORT", requires = "cluster_node")]
    cluster_address: Option<String>,
    /// Store in which the instances agree, etcd://HOST:PORT[,HOST:PORT...], etcds://… with TLS, or postgres://USER@HOST/NAME
    /// [default: the database]
    #[arg(long, value_name = "URL", requires = "cluster_node")]
    cluster_store: Option<String>,
    /// File with the URL of the store, for a URL with a password (the environment variable JOBS_CLUSTER_STORE_URL can hold
    /// the URL instead)
    #[arg(long, value_name = "FILE", requires = "cluster_node")]
    cluster_store_file: Option<PathBuf>,
    /// Number of partitions of the queues, which the instances divide; the first start decides
    #[arg(long, value_name = "N", requires = "cluster_node", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1024))]
    cluster_partitions: u16,
    /// Make one instance the master, which has all queues, and the others standbys; clients that know Redis Sentinel find
    /// the master by this name
    #[arg(long, value_name = "NAME", requires = "cluster_address", conflicts_with = "cluster_partitions")]
    cluster_sentinel: Option<String>,
    /// Seconds without a heartbeat after which the others take over from an instance
    #[arg(long, value_name = "SECONDS", requires = "cluster_node", default_value = "5", value_parser = seconds)]
    cluster_lease: Duration,
}

impl ClusterOptions {
    /// Serves as an instance of the cluster, if this is one. Otherwise returns `None`.
    ///
    /// # Errors
    /// Returns an error if the database is not shared, and the errors of [`Member::run`].
    pub(crate) async fn serve(
        &self,
        server: &ServerOptions,
        database: Option<&str>,
    ) -> Option<io::Result<()>> {
        let node = self.cluster_node.as_ref()?;
        Some(self.serve_as(node, server, database).await)
    }

    async fn serve_as(&self, node: &str, options: &ServerOptions, database: Option<&str>) -> io::Result<()> {
        let database = database.ok_or_else(|| usage_error(NO_DATABASE))?;
        database::check_shared(database)?;
        if let (Some(name), Some(address)) = (&self.cluster_sentinel, &self.cluster_address) {
            return self.stand_by(name, node, address, options, database).await;
        }
        let (app, partitions) = app(self.cluster_partitions, database);
        let cluster = Cluster::member(node).upstream(options.others()?);
        let server = options.bind(app)?.timeouts(timeouts()).cluster(cluster)?;
        let address = match &self.cluster_address {
            Some(address) => address.clone(),
            None => listening(&server)?,
        };
        let member = self.member(database, node, address)?;
        cli::say_addresses(&server);
        member.partitions(self.cluster_partitions).lease(self.cluster_lease).run(server, partitions).await
    }

    /// Serves as the master of this name, or waits as its replica.
    async fn stand_by(
        &self,
        name: &str,
        node: &str,
        address: &str,
        options: &ServerOptions,
        database: &str,
    ) -> io::Result<()> {
        let (member, sentinel) = self.member(database, node, address.to_owned())?.standby(name)?;
        let (app, partitions) = app(1, database);
        let server = options.bind(sentinel.mount(app))?.timeouts(timeouts());
        cli::say_addresses(&server);
        member.lease(self.cluster_lease).run(server, partitions).await
    }

    /// Returns a member with the store of the instances.
    fn member(&self, database: &str, node: &str, address: String) -> io::Result<Member> {
        let url = Secret {
            option: "--cluster-store",
            value: self.cluster_store.as_deref(),
            file: self.cluster_store_file.as_deref(),
            variable: "JOBS_CLUSTER_STORE_URL",
        };
        cluster_store::member(url.read()?.as_deref().unwrap_or(database), node, address)
    }
}

/// Returns the first address of a server that others can connect to.
fn listening(server: &Server) -> io::Result<String> {
    let is_reachable = |address: &SocketAddr| !address.ip().is_unspecified();
    let mut addresses = server.addrs().into_iter().filter_map(|address| match address {
        Address::Tcp(address) => Some(address).filter(is_reachable),
        _ => None,
    });
    let first = addresses.next().ok_or_else(|| usage_error(NO_ADDRESS))?;
    Ok(first.to_string())
}

/// Returns an instance of the work queue whose partitions are closed, and what opens them.
fn app(count: u16, database: &str) -> (App, JobPartitions) {
    let (app, shards) = sharded(count, |shard| (Queues::closed(shard), Partition::Closed));
    (app, JobPartitions { database: database.into(), shards })
}

/// The partitions of the queues: a shard for each, with the jobs that the database has while the partition is open.
struct JobPartitions {
    database: Arc<str>,
    shards: Vec<Addr<Jobs<Partition>>>,
}

impl Partitions for JobPartitions {
    async fn open(&self, partition: u16, epoch: u64) -> io::Result<()> {
        let open = Open { database: Arc::clone(&self.database), epoch };
        let ended = |_| io::Error::other(format!("the actor of partition {partition} has ended"));
        self.shards[usize::from(partition)].send(open).await.map_err(ended)?
    }

    async fn close(&self, partition: u16) {
        // A shard that has ended has no jobs either.
        let _ = self.shards[usize::from(partition)].send(Close).await;
    }
}

/// Loads the jobs of the partition, which has belonged to this instance since an epoch.
#[derive(Message)]
#[rtype(result = "io::Result<()>")]
struct Open {
    database: Arc<str>,
    epoch: u64,
}

/// Discards the jobs of the partition, which stay in the database.
#[derive(Message)]
#[rtype(result = "()")]
struct Close;

impl Handler<Open> for Jobs<Partition> {
    type Result = ResponseActFuture<Self, io::Result<()>>;

    fn handle(&mut self, Open { database, epoch }: Open, _: &mut Context<Self>) -> Self::Result {
        let scope = Scope::Partition(self.queues.shard(), epoch);
        let stored = async move { Stored::open(&database, scope).await };
        Box::pin(stored.into_actor(self).map(|stored, this, context| this.open(stored?, context)))
    }
}

impl Handler<Close> for Jobs<Partition> {
    type Result = ResponseActFuture<Self, ()>;

    /// Ends when all changes are in the database.
    fn handle(&mut self, _: Close, _: &mut Context<Self>) -> Self::Result {
        let drained = sleep(DRAIN).into_actor(self);
        let written = drained.then(|(), this, _| {
            let written = this.storage.write(Changes::default());
            async {
                if let Some(written) = written {
                    // If it fails, the commands get the error.
                    let _ = timeout(CLOSE_PATIENCE, written).await;
                }
            }
            .into_actor(this)
        });
        Box::pin(written.map(|(), this, context| {
            this.storage = Partition::Closed;
            this.clear(context);
        }))
    }
}

impl Jobs<Partition> {
    fn open(&mut self, stored: Stored, context: &mut Context<Self>) -> io::Result<()> {
        let Stored { storage, queues, schedules } = stored;
        self.clear(context);
        self.schedules.restore(queues.shard().number, schedules)?;
        (self.queues, self.storage) = (queues, Partition::Open(storage));
        self.start_timers(context);
        Ok(())
    }
}

const NO_ADDRESS: &str = "--cluster-address: write the address that clients use for this instance, because --bind has none that they can use";
const NO_DATABASE: &str =
    "--cluster-node: the instances need a database that they share: --database postgres://USER@HOST/NAME";

#[cfg(test)]
mod tests {
    use thegiant::test::TestServer;

    use super::*;
    use crate::storage::NOT_SERVED;

    /// A connection may have checked the slot before another thread has closed the partition.
    #[thegiant::test]
    async fn commands_that_come_too_late_are_refused_and_have_no_effect() {
        let (app, _partitions) = app(2, "postgres://host/name");
        let server = TestServer::start(app);
        let mut client = server.connect();
        for request in [
            "ADDJOB q body",
            "CALLJOB q body 20",
            "CALLJOB q body 0",
            "GETJOB NOHANG FROM q",
            "GETJOB FROM q",
            "PAUSE q",
            "SCHEDULE q @daily q body",
            "ACKJOB nonsense",
        ] {
            assert_eq!(
                client.call(request.split(' ').collect::<Vec<_>>()).await,
                Value::Error(NOT_SERVED),
                "{request}"
            );
        }
        for request in ["QUEUES", "SCHEDULES"] {
            assert_eq!(client.call([request]).await, Value::Array(vec![]), "{request}");
        }
        let info = client.call(["INFO", "jobs"]).await;
        assert!(
            info.as_str()
                .is_some_and(|info| info
                    .starts_with("# Jobs\r\njobs:0\r\njobs_queues:0\r\njobs_waiting_workers:0\r\n")),
            "{info:?}"
        );
    }
}
