//! Reads certificates and keys from PEM files.

use std::{fs, io, path::Path, sync::Arc};

use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use tokio_rustls::rustls::RootCertStore;

/// A certificate chain, and the private key of its first certificate.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(crate) fn read(certificate: &Path, key: &Path) -> io::Result<Self> {
        Ok(Identity { chain: certificates(certificate)?, key: private_key(key)? })
    }
}

/// Reads the trusted authorities.
pub(crate) fn authorities(path: &Path) -> io::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(CERTIFICATE, path, error))?;
    }
    Ok(Arc::new(roots))
}

/// Returns a one-line error that names the file and the reason.
pub(crate) fn unusable(what: &str, path: &Path, why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("cannot use the {what} {}: {why}", path.display()))
}

pub(crate) const CERTIFICATE: &str = "certificate";
pub(crate) const KEY: &str = "key";

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let text = read(CERTIFICATE, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(none) if none.is_empty() => Err(unusable(CERTIFICATE, path, "no PEM certificate in the file")),
        certificates => certificates.map_err(|error| unusable(CERTIFICATE, path, pem_mistake(error))),
    }
}

fn private_key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&read(KEY, path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => unusable(KEY, path, "no unencrypted PEM key in the file"),
        error => unusable(KEY, path, pem_mistake(error)),
    })
}

/// Describes a PEM error. It omits the error's own text, which may quote a part of the key.
fn pem_mistake(error: pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "the file is truncated",
        _ => "the file is not valid PEM",
    }
}

fn read(what: &str, path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        let why = unusable(what, path, &error);
        io::Error::new(error.kind(), why.to_string())
    })
}
