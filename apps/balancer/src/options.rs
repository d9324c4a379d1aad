//! The command line.

use std::{io, time::Duration};

use cli::{Mistake, Values};
use thegiant::{ClientTls, Upstream};

use crate::hash::HashKind;

/// What the options are for.
pub const HELP: &str =
    "  --hash KIND          spread keys as KIND: rendezvous, most evenly, ketama, as twemproxy does, or slots, as Redis
                       Cluster numbers them (rendezvous)
  --keep               keys of a server that is down are not given to others meanwhile
  --cluster            the addresses are nodes of a Redis Cluster, which says itself where keys are
  --connections N      at most so many connections to each server, which all clients share (1)
  --server-user USER, --server-password PASSWORD
                       say this to the servers
  --server-tls         speak TLS with the servers; their certificates are of an authority that this system trusts,
                       unless it is said which one
  --server-ca FILE     of this one (PEM)
  --server-cert FILE, --server-key FILE
                       show them this certificate, and have its private key
  --timeout MS         take a server for lost that says nothing for so long while it is asked (5000)
";

/// The usage, behind the name of the program.
pub const USAGE: &str = "[OPTIONS] ADDR[,REPLICA ...] ...";

/// What the command line says.
#[derive(Debug)]
pub struct Options {
    /// Addresses of servers, each with its replicas behind it.
    pub groups: Vec<Vec<String>>,
    /// How keys are spread.
    pub hash: HashKind,
    /// Whether keys of a server that is down stay there.
    pub keep: bool,
    /// Whether it is a cluster.
    pub cluster: bool,
    connections: usize,
    user: Option<String>,
    password: Option<String>,
    timeout: Duration,
    tls: bool,
    ca: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            groups: Vec::new(),
            hash: HashKind::default(),
            keep: false,
            cluster: false,
            connections: 1,
            user: None,
            password: None,
            timeout: Duration::from_secs(5),
            tls: false,
            ca: None,
            certificate: None,
            key: None,
        }
    }
}

impl Options {
    /// Takes an option, if there is one of this name; what has no name is an address.
    ///
    /// # Errors
    /// It cannot be what it is.
    pub fn set(&mut self, name: &str, values: &mut Values<'_>) -> Result<bool, Mistake> {
        match name {
            "" => self.groups.push(values.take()?.split(',').map(str::to_owned).collect()),
            "hash" => {
                self.hash = values.take()?.parse::<HashKind>().map_err(|wrong| format!("--hash: {wrong}"))?
            }
            "keep" => self.keep = true,
            "cluster" => self.cluster = true,
            "connections" => self.connections = number(name, values)?,
            "server-user" => self.user = Some(values.take()?),
            "server-password" => self.password = Some(values.take()?),
            "server-tls" => self.tls = true,
            "server-ca" => self.ca = Some(values.take()?),
            "server-cert" => self.certificate = Some(values.take()?),
            "server-key" => self.key = Some(values.take()?),
            "timeout" => self.timeout = Duration::from_millis(number(name, values)? as u64),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The servers, in the order in which they were given.
    ///
    /// # Errors
    /// Of options for TLS: which cannot be used, and why.
    pub fn upstreams(&self) -> io::Result<Vec<Upstream>> {
        let tls = self.tls()?;
        let upstream = |address: &String| {
            let mut upstream =
                Upstream::new(address).connections(self.connections).reply_timeout(self.timeout);
            if let Some(user) = &self.user {
                upstream = upstream.user(user);
            }
            if let Some(password) = &self.password {
                upstream = upstream.password(password);
            }
            match &tls {
                Some(tls) => upstream.tls(tls.clone()),
                None => Ok(upstream),
            }
        };
        self.groups.iter().flatten().map(upstream).collect()
    }

    fn tls(&self) -> io::Result<Option<ClientTls>> {
        let wrong = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if !self.tls {
            return match (&self.ca, &self.certificate, &self.key) {
                (None, None, None) => Ok(None),
                _ => wrong("--server-ca, --server-cert and --server-key are for --server-tls"),
            };
        }
        let mut tls = ClientTls::new();
        if let Some(ca) = &self.ca {
            tls = tls.ca(ca);
        }
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Ok(Some(tls.certificate(certificate, key))),
            (None, None) => Ok(Some(tls)),
            _ => wrong("--server-cert and --server-key go together"),
        }
    }
}

fn number(name: &str, values: &mut Values<'_>) -> Result<usize, Mistake> {
    let value = values.take()?;
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("--{name} {value}: that is not a number it can be").into()),
    }
}
