//! A client that speaks TLS.

use std::{
    fs,
    io::{self, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    sync::Arc,
};

use thegiant::Bytes;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::authority::{Authority, Identity};
use crate::support::{Folder, PATIENCE, read_reply};

/// A connection that sends what it is told to, and returns replies as they came.
pub(super) struct TlsClient(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl TlsClient {
    /// Connects to a server that has a certificate of this authority for `localhost`.
    pub(super) fn connect(address: &str, trusted: &Authority) -> Self {
        Self::try_connect(address, trusted, None).expect("it lets everybody in")
    }

    /// Connects, and shows a certificate to a server that asks for it.
    pub(super) fn try_connect(
        address: &str,
        trusted: &Authority,
        identity: Option<&Identity>,
    ) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&trusted.ca)).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("there are some")
            .with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(Identity { certificate: path, key }) => {
                let key = PrivateKeyDer::from_pem_file(key).expect("a key");
                config.with_client_auth_cert(vec![certificate(path)], key).expect("they belong together")
            }
        };
        let name = "localhost".try_into().expect("a name");
        let mut session = ClientConnection::new(config.into(), name).expect("it is configured");
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(TlsClient(BufReader::new(StreamOwned::new(session, socket))))
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server takes what is sent");
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

    /// All that still comes. It is an error if the server leaves without saying so.
    pub(super) fn rest(&mut self) -> io::Result<Bytes> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest)?;
        Ok(rest.into())
    }
}

fn certificate(path: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).expect("a certificate")
}

/// What redis-cli prints, with these options and this input.
pub(super) fn redis_cli(address: &str, options: &[&str], input: &[u8]) -> Vec<u8> {
    let (host, port) = address.rsplit_once(':').expect("a port");
    let mut command = Command::new("redis-cli");
    command.args(["-h", host, "-p", port, "--tls"]).args(options);
    let output = command.stdin(Stdio::from(file_of(input))).output().expect("redis-cli can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A file without a name, to be read from its beginning.
fn file_of(bytes: &[u8]) -> fs::File {
    let folder = Folder::new();
    let path = folder.path().join("input");
    fs::write(&path, bytes).expect("it can be written");
    fs::File::open(path).expect("it can be read")
}
