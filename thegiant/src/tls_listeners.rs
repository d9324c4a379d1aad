//! The TLS listeners of a server, whose certificates and settings change while it runs.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use thegiant_tls::{LoadedTls, ServerTls, TlsSetting};

use crate::{
    InfoFields,
    client::Address,
    info::InfoSection,
    observe::unix_time,
    settings::{ConfigRefusal, ConfigRefusalReason},
};

/// The time before the end of a certificate in which the log warns of it.
const WARNED: Duration = Duration::from_secs(14 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// A listener whose clients use TLS.
pub(crate) struct TlsListener {
    address: Address,
    /// The configuration of new connections. Each connection keeps the configuration with which it was accepted.
    current: RwLock<Arc<LoadedTls>>,
}

impl TlsListener {
    pub(crate) fn new(address: Address, tls: LoadedTls) -> Self {
        TlsListener { address, current: RwLock::new(Arc::new(tls)) }
    }

    /// Returns the configuration for the next connection.
    pub(crate) fn current(&self) -> Arc<LoadedTls> {
        // No code panics while it holds the lock.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, tls: LoadedTls) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tls);
    }

    /// Returns the seconds until the certificate ends, negative afterwards.
    fn expires_in(&self) -> i64 {
        self.current().not_after().saturating_sub_unsigned(unix_time().as_secs())
    }

    /// Logs that the certificate ends soon, if it does.
    fn warn_of_expiry(&self) {
        let (address, seconds) = (&self.address, self.expires_in());
        if seconds <= 0 {
            tracing::error!(%address, "the TLS certificate has expired: renew it, and reload it with SIGHUP");
        } else if seconds.unsigned_abs() <= WARNED.as_secs() {
            let days = seconds.unsigned_abs() / DAY;
            tracing::warn!(%address, days, "the TLS certificate expires soon: renew it, and reload it with SIGHUP");
        }
    }
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The TLS listeners of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsListeners(Arc<Mutex<Vec<Arc<TlsListener>>>>);

impl TlsListeners {
    pub(crate) fn add(&self, listener: Arc<TlsListener>) {
        self.lock().push(listener);
    }

    /// Returns the section `TLS` of `INFO`, if there is a listener.
    pub(crate) fn info_section(&self) -> Option<InfoSection> {
        let listeners = self.clone();
        (!self.lock().is_empty()).then(|| InfoSection::new("TLS", move |fields| listeners.describe(fields)))
    }

    /// Writes when the certificates end. The first field is one of Valkey.
    fn describe(&self, fields: &mut InfoFields) {
        let listeners = self.lock();
        let first = listeners.iter().map(|listener| listener.expires_in()).min();
        fields.field("tls_server_cert_expires_in_seconds", first.unwrap_or(0));
        for (index, listener) in listeners.iter().enumerate() {
            let (address, seconds) = (&listener.address, listener.expires_in());
            fields.field(
                &format!("tls_listener_{index}"),
                format_args!("address={address},cert_expires_in_seconds={seconds}"),
            );
        }
    }

    /// Reads the files of all listeners again.
    ///
    /// # Errors
    /// If a file cannot be used. Then nothing has changed.
    pub(crate) fn reload(&self) -> io::Result<()> {
        self.change(&self.lock(), |_| Ok(()))
    }

    /// Logs the certificates that end soon, and updates the metric of their ends.
    pub(crate) fn watch_expiry(&self) {
        self.lock().iter().for_each(|listener| publish(listener));
    }

    /// Returns the settings for `CONFIG GET`: those of the first listener.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let listeners = self.lock();
        let Some(first) = listeners.first().map(|listener| listener.current()) else { return Vec::new() };
        TlsSetting::ALL.iter().map(|setting| (setting.name(), setting.get(first.settings()))).collect()
    }

    /// Applies the changes of TLS settings among these changes, and reads the files of all listeners again.
    ///
    /// # Errors
    /// The first TLS setting among the changes, and the reason. Then nothing has changed.
    pub(crate) fn configure<'a>(&self, changes: &[(&'a [u8], &[u8])]) -> Result<(), ConfigRefusal<'a>> {
        let known = |name: &[u8]| {
            TlsSetting::ALL.into_iter().find(|setting| setting.name().as_bytes().eq_ignore_ascii_case(name))
        };
        let changes: Vec<_> =
            changes.iter().filter_map(|(name, value)| Some((known(name)?, *value))).collect();
        let Some((first, _)) = changes.first() else { return Ok(()) };
        let refuse = |reason: &str| ConfigRefusal {
            name: first.name().as_bytes(),
            reason: ConfigRefusalReason::from(reason),
        };
        let listeners = self.lock();
        let has_same_settings =
            |pair: &[Arc<TlsListener>]| pair[0].current().settings() == pair[1].current().settings();
        if !listeners.windows(2).all(has_same_settings) {
            return Err(refuse(DIFFERENT));
        }
        let changed = self.change(&listeners, |tls| {
            for (setting, value) in &changes {
                let value = std::str::from_utf8(value).map_err(|_| "the value is not UTF-8".to_owned())?;
                setting.set(tls, value)?;
            }
            Ok(())
        });
        changed.map_err(|error| {
            tracing::error!(%error, "the TLS settings are unchanged");
            refuse(UNUSABLE)
        })
    }

    /// Changes the settings of these listeners, and reads their files: for all listeners or, after an error, for none.
    fn change(
        &self,
        listeners: &[Arc<TlsListener>],
        change: impl Fn(&mut ServerTls) -> Result<(), String>,
    ) -> io::Result<()> {
        let load = |listener: &Arc<TlsListener>| {
            let mut tls = listener.current().settings().clone();
            change(&mut tls).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
            tls.load()
        };
        let loaded = listeners.iter().map(load).collect::<io::Result<Vec<_>>>()?;
        for (listener, tls) in listeners.iter().zip(loaded) {
            listener.replace(tls);
            tracing::info!(address = %listener.address, "the TLS certificate was reloaded");
            publish(listener);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<TlsListener>>> {
        // A change that panics leaves each listener as it was, or complete.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of Redis. The reason is in the log, because it names files.
const UNUSABLE: &str = "Unable to update TLS configuration. Check server logs.";

/// To give all listeners one certificate would be a surprise.
const DIFFERENT: &str =
    "The TLS listeners have different settings. Change the files and reload them with SIGHUP.";

/// Logs that the certificate of a listener ends soon, if it does, and updates the metric of its end.
fn publish(listener: &TlsListener) {
    listener.warn_of_expiry();
    #[cfg(feature = "metrics")]
    crate::observe::record_certificate(&listener.address.to_string(), listener.current().not_after());
}
