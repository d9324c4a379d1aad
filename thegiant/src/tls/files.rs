//! Certificates and keys, as they lie on disk.

use std::{fs, io, path::Path, sync::Arc};

use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use tokio_rustls::rustls::RootCertStore;

/// A chain, and the key of its first certificate.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(super) fn read(certificate: &Path, key: &Path) -> io::Result<Self> {
        Ok(Identity { chain: certificates(certificate)?, key: private_key(key)? })
    }
}

/// Those whose signature is good.
pub(super) fn authorities(path: &Path) -> io::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(CERTIFICATE, path, error))?;
    }
    Ok(Arc::new(roots))
}

/// Why a file cannot be used, in one line.
pub(super) fn unusable(what: &str, path: &Path, why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("cannot use the {what} {}: {why}", path.display()))
}

pub(super) const CERTIFICATE: &str = "certificate";
pub(super) const KEY: &str = "key";

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let text = read(CERTIFICATE, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(none) if none.is_empty() => Err(unusable(CERTIFICATE, path, "it has none in the PEM format")),
        certificates => certificates.map_err(|error| unusable(CERTIFICATE, path, mistake(error))),
    }
}

fn private_key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&read(KEY, path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => unusable(KEY, path, "it has none that can be read without a password"),
        error => unusable(KEY, path, mistake(error)),
    })
}

/// Without what it has found: that may be part of a key.
fn mistake(error: pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "it ends too early",
        _ => "it is not as the PEM format has it",
    }
}

fn read(what: &str, path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        let why = unusable(what, path, &error);
        io::Error::new(error.kind(), why.to_string())
    })
}
