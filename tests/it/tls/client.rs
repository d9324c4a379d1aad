//! A client with TLS.

use std::{
    fs,
    io::{self, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    sync::Arc,
};

use thegiant::Bytes;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::authority::{Authority, Identity};
use crate::support::{Folder, PATIENCE, read_reply};

/// A TLS connection that sends any bytes, and returns replies as the server sent them.
pub(super) struct TlsClient(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl TlsClient {
    /// Connects to a server whose certificate for `localhost` comes from this authority.
    pub(super) fn connect(address: &str, trusted: &Authority) -> Self {
        Self::try_connect(address, trusted, None).expect("the handshake succeeds")
    }

    /// Connects, and sends a client certificate if `identity` is given.
    pub(super) fn try_connect(
        address: &str,
        trusted: &Authority,
        identity: Option<&Identity>,
    ) -> io::Result<Self> {
        Self::connect_with(address, "localhost", &client_config(trusted, identity, ALL_VERSIONS))
    }

    /// Connects to a server with this name. Connections with the same configuration resume its sessions.
    pub(super) fn connect_with(address: &str, name: &str, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = name.to_owned().try_into().expect("a name");
        let mut tls = ClientConnection::new(Arc::clone(config), name).expect("the configuration is valid");
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(TlsClient(BufReader::new(StreamOwned::new(tls, socket))))
    }

    /// Returns the state of the TLS connection.
    pub(super) fn tls(&self) -> &ClientConnection {
        &self.0.get_ref().conn
    }

    /// Returns whether the server has this certificate.
    pub(super) fn sees(&self, server: &Identity) -> bool {
        let chain = self.tls().peer_certificates().expect("the server has a certificate");
        chain[0] == certificate(&server.certificate)
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server reads the requests");
    }

    fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let stream = self.0.get_mut();
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    pub(super) fn reply(&mut self) -> Bytes {
        read_reply(&mut self.0).expect("a reply").into()
    }

    pub(super) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Bytes {
        self.try_ask(bytes).expect("a reply")
    }

    pub(super) fn try_ask(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<Bytes> {
        self.try_send(bytes)?;
        read_reply(&mut self.0).map(Bytes::from)
    }

    /// Reads everything up to the end of the connection.
    ///
    /// # Errors
    ///
    /// Fails if the server closes the connection without a TLS `close_notify` alert.
    pub(super) fn rest(&mut self) -> io::Result<Bytes> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest)?;
        Ok(rest.into())
    }
}

/// All versions of TLS that rustls supports.
pub(super) use tokio_rustls::rustls::ALL_VERSIONS;

/// Returns the configuration of a client that sends a client certificate if `identity` is given.
pub(super) fn client_config(
    trusted: &Authority,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&trusted.ca)).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("ring supports the versions")
        .with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(Identity { certificate: path, key }) => {
            let key = PrivateKeyDer::from_pem_file(key).expect("a key");
            config
                .with_client_auth_cert(vec![certificate(path)], key)
                .expect("the key belongs to the certificate")
        }
    };
    config.into()
}

fn certificate(path: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}

/// Runs redis-cli with these options and this input. Returns its output.
pub(super) fn redis_cli(address: &str, options: &[&str], input: &[u8]) -> Vec<u8> {
    let (host, port) = address.rsplit_once(':').expect("a port");
    let mut command = Command::new("redis-cli");
    command.args(["-h", host, "-p", port, "--tls"]).args(options);
    let output = command.stdin(Stdio::from(file_of(input))).output().expect("redis-cli can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Returns an open file with these bytes and without a name.
fn file_of(bytes: &[u8]) -> fs::File {
    let folder = Folder::new();
    let path = folder.path().join("input");
    fs::write(&path, bytes).expect("the file can be written");
    fs::File::open(path).expect("the file can be opened")
}
