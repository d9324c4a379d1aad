//! A certificate authority for tests.

use std::{
    cell::Cell,
    fs,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use crate::support::Folder;

/// A certificate authority. Dropping it removes its files.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: Folder,
    issued: Cell<usize>,
    /// Path of the certificate of the authority.
    pub(super) ca: String,
}

/// Paths of a certificate and its key.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Identity {
    /// Replaces the files with those of another certificate.
    pub(super) fn become_like(&self, other: &Identity) {
        fs::copy(&other.certificate, &self.certificate).expect("the file can be written");
        fs::copy(&other.key, &self.key).expect("the file can be written");
    }
}

impl Authority {
    pub(super) fn new() -> Self {
        static AUTHORITIES: AtomicUsize = AtomicUsize::new(0);
        Self::named(&format!("authority {}", AUTHORITIES.fetch_add(1, Relaxed)))
    }

    /// Creates an authority with this name. Several authorities may have the same name.
    pub(super) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer =
            CertifiedIssuer::self_signed(params, new_key()).expect("the certificate can be self-signed");
        let folder = Folder::new();
        let ca = write(&folder, "ca.crt", &issuer.pem());
        Authority { issuer, folder, issued: Cell::new(0), ca }
    }

    /// Issues a certificate for this name.
    pub(super) fn issue(&self, name: &str) -> Identity {
        self.issue_as(name, |_| {})
    }

    /// Issues a certificate that has expired.
    pub(super) fn issue_expired(&self, name: &str) -> Identity {
        self.issue_as(name, |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1))
    }

    /// Issues a certificate for this name that ends after this time.
    pub(super) fn issue_for(&self, name: &str, time: Duration) -> Identity {
        self.issue_as(name, |params| params.not_after = (SystemTime::now() + time).into())
    }

    /// Issues a certificate that names its owner in these ways.
    pub(super) fn issue_named(
        &self,
        common_name: &str,
        names: impl IntoIterator<Item = SanType>,
    ) -> Identity {
        self.issue_as("client.example", |params| {
            params.distinguished_name.push(DnType::CommonName, common_name);
            params.subject_alt_names.extend(names);
        })
    }

    fn issue_as(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        change(&mut params);
        let key = new_key();
        let certificate = params.signed_by(&key, &self.issuer).expect("the certificate can be signed");
        let number = self.issued.replace(self.issued.get() + 1);
        Identity {
            certificate: self.file(&format!("{number}.crt"), &certificate.pem()),
            key: self.file(&format!("{number}.key"), &key.serialize_pem()),
        }
    }

    /// Copies the files of a certificate. They may change afterwards.
    pub(super) fn copy_of(&self, identity: &Identity) -> Identity {
        let copy = Identity { certificate: self.file("copy.crt", ""), key: self.file("copy.key", "") };
        copy.become_like(identity);
        copy
    }

    /// Copies the file of the authority. It may change afterwards.
    pub(super) fn copy_of_ca(&self) -> String {
        self.file("copy-of-ca.crt", &fs::read_to_string(&self.ca).expect("the file exists"))
    }

    /// Writes a file into the folder of the authority. Returns its path.
    pub(super) fn file(&self, name: &str, text: &str) -> String {
        write(&self.folder, name, text)
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn write(folder: &Folder, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("the file can be written");
    path.to_str().expect("text").to_owned()
}
