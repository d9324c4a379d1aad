//! Explains failed handshakes, so that an operator knows the remedy.

use std::{io, path::Path};

use tokio_rustls::rustls::{
    AlertDescription as Alert, CertificateError, Error, InconsistentKeys, InvalidMessage,
};

use crate::files::{CERTIFICATE, KEY, unusable};

/// Replaces the text of a TLS error with an explanation. Returns other errors unchanged.
#[doc(hidden)]
#[must_use]
#[cold]
pub fn explained(error: io::Error) -> io::Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls.map(explanation) {
        Some(explanation) => io::Error::new(error.kind(), explanation),
        None => error,
    }
}

/// Explains why a certificate and a key cannot be used together.
pub(crate) fn identity_error(certificate: &Path, key: &Path, error: &Error) -> io::Error {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => unusable(
            KEY,
            key,
            format_args!("it does not belong to the certificate {}", certificate.display()),
        ),
        Error::InvalidCertificate(_) => unusable(CERTIFICATE, certificate, error),
        _ => unusable(KEY, key, error),
    }
}

fn explanation(error: &Error) -> String {
    let text = match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "the peer does not speak TLS",
        Error::NoCertificatesPresented => "the peer sent no certificate",
        Error::InvalidCertificate(error) => return certificate_explanation(error),
        Error::AlertReceived(Alert::CertificateRequired) => "the peer requires a certificate",
        Error::AlertReceived(Alert::UnknownCA) => "the peer does not trust the certificate's authority",
        Error::AlertReceived(Alert::BadCertificate | Alert::CertificateUnknown | Alert::DecryptError) => {
            "the peer rejected the certificate"
        }
        Error::AlertReceived(Alert::CertificateExpired) => {
            "the peer reports that the certificate has expired"
        }
        other => return other.to_string(),
    };
    text.to_owned()
}

fn certificate_explanation(error: &CertificateError) -> String {
    let text = match error {
        CertificateError::UnknownIssuer => "the peer's certificate is from an unknown authority",
        // Most likely the authority was created anew under the same name.
        CertificateError::BadSignature => "the peer's certificate is not signed by the trusted authority",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the peer's certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the peer's certificate is not valid yet"
        }
        CertificateError::NotValidForNameContext { expected, presented } if !presented.is_empty() => {
            let names: Vec<_> = presented.iter().map(|name| plain(name)).collect();
            let (names, expected) = (names.join(", "), expected.to_str());
            return format!("the peer's certificate is for {names}, not for {expected}");
        }
        other => return format!("the peer's certificate is not acceptable: {other}"),
    };
    text.to_owned()
}

/// Returns the plain name of `DnsName("redis.internal")`.
fn plain(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}
