//! What is said of a handshake that fails: who reads it has to know what is to be done.

use std::{io, path::Path};

use tokio_rustls::rustls::{
    AlertDescription as Alert, CertificateError, Error, InconsistentKeys, InvalidMessage,
};

use super::files::{CERTIFICATE, KEY, unusable};

/// The same error in other words, if it is one of TLS.
#[cold]
pub(super) fn explained(error: io::Error) -> io::Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls.map(words) {
        Some(words) => io::Error::new(error.kind(), words),
        None => error,
    }
}

/// Why a certificate and a key cannot be used together.
pub(super) fn misfit(certificate: &Path, key: &Path, error: &Error) -> io::Error {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            unusable(KEY, key, format_args!("it is not that of the certificate {}", certificate.display()))
        }
        Error::InvalidCertificate(_) => unusable(CERTIFICATE, certificate, error),
        _ => unusable(KEY, key, error),
    }
}

/// They are said of the other side.
fn words(error: &Error) -> String {
    let words = match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "it does not speak TLS",
        Error::NoCertificatesPresented => "it has no certificate",
        Error::InvalidCertificate(error) => return words_of_certificate(error),
        Error::AlertReceived(Alert::CertificateRequired) => "it asks for a certificate",
        Error::AlertReceived(Alert::UnknownCA) => "it does not know who has issued the certificate",
        Error::AlertReceived(Alert::BadCertificate | Alert::CertificateUnknown | Alert::DecryptError) => {
            "it does not accept the certificate"
        }
        Error::AlertReceived(Alert::CertificateExpired) => "it says that the certificate has expired",
        other => return other.to_string(),
    };
    words.to_owned()
}

fn words_of_certificate(error: &CertificateError) -> String {
    let words = match error {
        CertificateError::UnknownIssuer => "its certificate is of an unknown authority",
        // One of the same name, most likely: it has been made anew.
        CertificateError::BadSignature => "its certificate is not signed by the authority that is trusted",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet"
        }
        CertificateError::NotValidForNameContext { expected, presented } if !presented.is_empty() => {
            let names: Vec<_> = presented.iter().map(|name| plain(name)).collect();
            return format!("its certificate is not for {} but for {}", expected.to_str(), names.join(", "));
        }
        other => return format!("its certificate cannot be accepted: {other}"),
    };
    words.to_owned()
}

/// `DnsName("redis.internal")` as it is in the certificate.
fn plain(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}
