//! The certificate of a client.

use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;

use crate::{
    CertificateUser,
    x509::{Certificate, DNS, URI},
};

/// The certificate of a client. The server has verified that it is from its authority, and that the client has its key.
///
/// It has the fields that name the client. Names that are not UTF-8 are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    common_names: Box<[Box<str>]>,
    uris: Box<[Box<str>]>,
    dns_names: Box<[Box<str>]>,
    /// Seconds since 1970.
    not_after: u64,
}

impl ClientCertificate {
    /// Reads a certificate. Returns `None` if it is malformed.
    #[doc(hidden)]
    #[must_use]
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::read(certificate)?;
        Some(ClientCertificate {
            common_names: texts(certificate.common_names()),
            uris: texts(certificate.alternative_names(URI)),
            dns_names: texts(certificate.alternative_names(DNS)),
            not_after: certificate.not_after.try_into().unwrap_or(0),
        })
    }

    /// Returns the common name (`CN`) of the subject. Of several, it returns the first.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        self.names(CertificateUser::CommonName).next()
    }

    /// Returns the URIs among the alternative names of the subject, such as `spiffe://example.org/worker`.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.names(CertificateUser::Uri)
    }

    /// Returns the DNS names among the alternative names of the subject.
    pub fn dns_names(&self) -> impl Iterator<Item = &str> {
        self.names(CertificateUser::Dns)
    }

    /// Returns the end of the certificate.
    ///
    /// A connection can outlive its certificate.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.not_after)
    }

    /// Returns the names in a field.
    #[doc(hidden)]
    pub fn names(&self, field: CertificateUser) -> impl Iterator<Item = &str> {
        let names = match field {
            CertificateUser::CommonName => &self.common_names,
            CertificateUser::Uri => &self.uris,
            CertificateUser::Dns => &self.dns_names,
        };
        names.iter().map(|name| &**name)
    }

    /// Returns the bytes of memory that the certificate takes.
    #[doc(hidden)]
    #[must_use]
    pub fn memory(&self) -> usize {
        let names = [&self.common_names, &self.uris, &self.dns_names].into_iter().flatten();
        size_of::<Self>() + names.map(|name| size_of::<Box<str>>() + name.len()).sum::<usize>()
    }
}

fn texts<'a>(names: impl Iterator<Item = &'a [u8]>) -> Box<[Box<str>]> {
    names.filter_map(|name| std::str::from_utf8(name).ok()).map(Box::from).collect()
}
