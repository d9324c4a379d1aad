//! The command line.

use std::{io, num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use cli::{Secret, ServerOptions, TenantOptions};
use thegiant::{
    ClientTls,
    proxy::{Proxy, Upstream},
};

use crate::hash::HashKind;

/// Proxy that spreads keys over several Redis servers, or stands in front of a Redis Cluster or Redis Sentinel
#[derive(Parser)]
#[command(version)]
pub struct Options {
    /// Address of a Redis server, HOST:PORT or unix:PATH, and the addresses of its replicas
    #[arg(
        required_unless_present = "sentinel",
        conflicts_with = "sentinel",
        value_name = "ADDR[,REPLICA...]"
    )]
    addresses: Vec<String>,
    /// Method to spread keys over the servers
    #[arg(long, value_name = "KIND", default_value = "rendezvous", conflicts_with_all = ["cluster", "sentinel"])]
    pub hash: HashKind,
    /// Keep the keys of a server that is down; without this option they go to the other servers
    #[arg(long, conflicts_with_all = ["cluster", "sentinel"])]
    pub no_eject: bool,
    /// Treat the addresses as nodes of a Redis Cluster
    #[arg(long, conflicts_with = "sentinel")]
    pub cluster: bool,
    /// Name of a master, and the addresses of the sentinels that know its address
    #[arg(long, value_name = "NAME@ADDR[,ADDR...]", value_parser = parse_sentinels)]
    sentinel: Option<Sentinels>,
    /// Maximum time that requests wait for a new master, in ms
    #[arg(long, value_name = "MS", default_value = "5000", value_parser = cli::millis, requires = "sentinel")]
    failover_timeout: Duration,
    /// User name for the sentinels
    #[arg(long, value_name = "USER", requires = "sentinel")]
    sentinel_user: Option<String>,
    /// Password for the sentinels (other users of this machine see it in the process list)
    #[arg(long, value_name = "PASSWORD", allow_hyphen_values = true, requires = "sentinel")]
    sentinel_password: Option<String>,
    /// File with the password for the sentinels (the environment variable BALANCER_SENTINEL_PASSWORD can hold the
    /// password instead)
    #[arg(long, value_name = "FILE", requires = "sentinel")]
    sentinel_password_file: Option<PathBuf>,
    /// Put this text before all keys of clients; commands that reach other keys, such as FLUSHALL and scripts, are refused
    #[arg(long, value_name = "TEXT")]
    pub prefix: Option<String>,
    /// Reply to CLUSTER as one node that has all slots, for clients that speak to clusters only
    #[arg(long)]
    pub emulate_cluster: bool,
    /// Maximum number of connections to each server, which all clients share
    #[arg(long, value_name = "N", default_value = "1")]
    connections: NonZeroUsize,
    /// Reply to a request whose server was lost or cannot be reached: an error, or a closed connection
    #[arg(long, value_name = "WHAT", default_value = "error")]
    pub on_upstream_loss: OnUpstreamLoss,
    /// Upstream reply timeout, in ms
    #[arg(long, value_name = "MS", default_value = "5000", value_parser = cli::millis)]
    timeout: Duration,
    /// User name for the servers
    #[arg(long, value_name = "USER")]
    server_user: Option<String>,
    /// Password for the servers (other users of this machine see it in the process list)
    #[arg(long, value_name = "PASSWORD", allow_hyphen_values = true)]
    server_password: Option<String>,
    /// File with the password for the servers (the environment variable BALANCER_SERVER_PASSWORD can hold the
    /// password instead)
    #[arg(long, value_name = "FILE")]
    server_password_file: Option<PathBuf>,
    /// Speak TLS with the servers
    #[arg(long)]
    server_tls: bool,
    /// Certificate authority of the servers (PEM) [default: the authorities that this system trusts]
    #[arg(long, value_name = "FILE", requires = "server_tls")]
    server_ca: Option<PathBuf>,
    /// Client certificate for the servers (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["server_tls", "server_key"])]
    server_cert: Option<PathBuf>,
    /// Private key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "server_cert")]
    server_key: Option<PathBuf>,
    /// Options that every app has.
    #[command(flatten)]
    pub server: ServerOptions,
    /// The option for tenants.
    #[command(flatten)]
    pub tenants: TenantOptions,
}

/// The value of `--on-upstream-loss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnUpstreamLoss {
    /// The error `UPSTREAM` or `UPSTREAMDOWN`.
    Error,
    /// A closed connection.
    Close,
}

impl OnUpstreamLoss {
    /// Sets the value at a proxy.
    pub(crate) fn apply(self, proxy: Proxy) -> Proxy {
        match self {
            OnUpstreamLoss::Error => proxy,
            OnUpstreamLoss::Close => proxy.close_on_loss(),
        }
    }
}

/// The value of `--sentinel`.
#[derive(Clone)]
struct Sentinels {
    name: String,
    addresses: Vec<String>,
}

/// Parses NAME@ADDR,ADDR.
fn parse_sentinels(text: &str) -> Result<Sentinels, String> {
    let (name, addresses) = text.rsplit_once('@').ok_or("expected NAME@HOST:PORT[,HOST:PORT...]")?;
    let addresses: Vec<String> = addresses.split(',').map(str::to_owned).collect();
    if name.is_empty() || addresses.iter().any(String::is_empty) {
        return Err("a name or an address is empty".to_owned());
    }
    Ok(Sentinels { name: name.to_owned(), addresses })
}

/// A master whose address the sentinels know.
#[derive(Clone, Debug)]
pub struct Sentinel {
    /// The name of the master.
    pub name: String,
    /// The sentinels.
    pub sentinels: Vec<Upstream>,
    /// The settings of the master, which hold for any address.
    pub template: Upstream,
}

/// A user and a password for other servers.
struct Credentials {
    user: Option<String>,
    password: Option<String>,
}

impl Options {
    /// Returns the addresses of the servers, each followed by its replicas.
    pub fn groups(&self) -> Vec<Vec<&str>> {
        self.addresses.iter().map(|group| group.split(',').collect()).collect()
    }

    /// Returns the servers, in the order of the command line.
    ///
    /// # Errors
    /// Returns an error if the password or a file for TLS cannot be read.
    pub fn upstreams(&self) -> io::Result<Vec<Upstream>> {
        let credentials = self.server_credentials()?;
        self.groups().into_iter().flatten().map(|address| self.upstream(address, &credentials)).collect()
    }

    /// Returns the master and its sentinels, if the command line names them.
    ///
    /// # Errors
    /// Returns an error if a password or a file for TLS cannot be read.
    pub fn sentinel(&self) -> io::Result<Option<Sentinel>> {
        let Some(Sentinels { name, addresses }) = &self.sentinel else { return Ok(None) };
        let credentials = self.sentinel_credentials()?;
        let sentinels = addresses.iter().map(|address| self.upstream(address, &credentials));
        // The master has the same settings at each address.
        let template = self.upstream(&addresses[0], &self.server_credentials()?)?;
        Ok(Some(Sentinel {
            name: name.clone(),
            sentinels: sentinels.collect::<io::Result<_>>()?,
            template: template.down_after(self.failover_timeout),
        }))
    }

    fn upstream(&self, address: &str, Credentials { user, password }: &Credentials) -> io::Result<Upstream> {
        let mut upstream =
            Upstream::new(address).connections(self.connections.get()).reply_timeout(self.timeout);
        if let Some(user) = user {
            upstream = upstream.user(user);
        }
        if let Some(password) = password {
            upstream = upstream.password(password);
        }
        match self.tls() {
            Some(tls) => upstream.tls(tls),
            None => Ok(upstream),
        }
    }

    fn server_credentials(&self) -> io::Result<Credentials> {
        let password = Secret {
            option: "--server-password",
            value: self.server_password.as_deref(),
            file: self.server_password_file.as_deref(),
            variable: "BALANCER_SERVER_PASSWORD",
        };
        Ok(Credentials { user: self.server_user.clone(), password: password.read()? })
    }

    fn sentinel_credentials(&self) -> io::Result<Credentials> {
        let password = Secret {
            option: "--sentinel-password",
            value: self.sentinel_password.as_deref(),
            file: self.sentinel_password_file.as_deref(),
            variable: "BALANCER_SENTINEL_PASSWORD",
        };
        Ok(Credentials { user: self.sentinel_user.clone(), password: password.read()? })
    }

    fn tls(&self) -> Option<ClientTls> {
        let mut tls = self.server_tls.then(ClientTls::new)?;
        if let Some(ca) = &self.server_ca {
            tls = tls.ca(ca);
        }
        if let (Some(certificate), Some(key)) = (&self.server_cert, &self.server_key) {
            tls = tls.certificate(certificate, key);
        }
        Some(tls)
    }
}
