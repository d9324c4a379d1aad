//! The command line.

use std::{io, num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::Parser;
use cli::{Secret, ServerOptions};
use thegiant::{ClientTls, Upstream};

use crate::hash::HashKind;

/// Proxy that spreads keys over several Redis servers, or stands in front of a Redis Cluster
#[derive(Parser)]
#[command(version)]
pub struct Options {
    /// Address of a Redis server, HOST:PORT or unix:PATH, and the addresses of its replicas
    #[arg(required = true, value_name = "ADDR[,REPLICA...]")]
    addresses: Vec<String>,
    /// Method to spread keys over the servers
    #[arg(long, value_name = "KIND", default_value = "rendezvous", conflicts_with = "cluster")]
    pub hash: HashKind,
    /// Keep the keys of a server that is down; without this option they go to the other servers
    #[arg(long, conflicts_with = "cluster")]
    pub no_eject: bool,
    /// Treat the addresses as nodes of a Redis Cluster
    #[arg(long)]
    pub cluster: bool,
    /// Reply to CLUSTER as one node that has all slots, for clients that speak to clusters only
    #[arg(long)]
    pub emulate_cluster: bool,
    /// Maximum number of connections to each server, which all clients share
    #[arg(long, value_name = "N", default_value = "1")]
    connections: NonZeroUsize,
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
        let (password, tls) = (self.password()?, self.tls());
        let upstream = |address: &str| {
            let mut upstream =
                Upstream::new(address).connections(self.connections.get()).reply_timeout(self.timeout);
            if let Some(user) = &self.server_user {
                upstream = upstream.user(user);
            }
            if let Some(password) = &password {
                upstream = upstream.password(password);
            }
            match &tls {
                Some(tls) => upstream.tls(tls.clone()),
                None => Ok(upstream),
            }
        };
        self.groups().into_iter().flatten().map(upstream).collect()
    }

    fn password(&self) -> io::Result<Option<String>> {
        Secret {
            option: "--server-password",
            value: self.server_password.as_deref(),
            file: self.server_password_file.as_deref(),
            variable: "BALANCER_SERVER_PASSWORD",
        }
        .read()
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
