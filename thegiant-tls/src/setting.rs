//! The settings of a server under their names in Redis, for `CONFIG`.

use std::{path::PathBuf, str::FromStr};

use crate::{ServerTls, TlsProtocol};

/// A setting that `CONFIG SET` can change.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsSetting {
    Certificate,
    Key,
    ClientCa,
    AuthClients,
    Protocols,
    UserFrom,
}

/// The value of `tls-auth-clients-user` while certificates name no users.
const OFF: &str = "off";

impl TlsSetting {
    /// All settings.
    pub const ALL: [TlsSetting; 6] = [
        TlsSetting::Certificate,
        TlsSetting::Key,
        TlsSetting::ClientCa,
        TlsSetting::AuthClients,
        TlsSetting::Protocols,
        TlsSetting::UserFrom,
    ];

    /// Returns the name in Redis.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TlsSetting::Certificate => "tls-cert-file",
            TlsSetting::Key => "tls-key-file",
            TlsSetting::ClientCa => "tls-ca-cert-file",
            TlsSetting::AuthClients => "tls-auth-clients",
            TlsSetting::Protocols => "tls-protocols",
            TlsSetting::UserFrom => "tls-auth-clients-user",
        }
    }

    /// Returns the value, as `CONFIG GET` shows it.
    #[must_use]
    pub fn get(self, tls: &ServerTls) -> String {
        let path = |path: &PathBuf| path.display().to_string();
        match self {
            TlsSetting::Certificate => path(&tls.certificate),
            TlsSetting::Key => path(&tls.key),
            TlsSetting::ClientCa => tls.client_ca.as_ref().map(path).unwrap_or_default(),
            TlsSetting::AuthClients => tls.clients().to_string(),
            TlsSetting::Protocols => {
                tls.protocols.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
            TlsSetting::UserFrom => tls.user_from.map_or_else(|| OFF.to_owned(), |field| field.to_string()),
        }
    }

    /// Changes the value.
    ///
    /// # Errors
    /// Says why the value cannot be used.
    pub fn set(self, tls: &mut ServerTls, value: &str) -> Result<(), String> {
        match self {
            TlsSetting::Certificate => tls.certificate = value.into(),
            TlsSetting::Key => tls.key = value.into(),
            TlsSetting::ClientCa => {
                tls.client_ca = Some(value).filter(|path| !path.is_empty()).map(PathBuf::from)
            }
            TlsSetting::AuthClients => tls.auth_clients = Some(value.parse()?),
            TlsSetting::Protocols => {
                let protocols: Vec<_> =
                    value.split_ascii_whitespace().map(TlsProtocol::from_str).collect::<Result<_, _>>()?;
                // As in Redis, no version stands for the default.
                let protocols = if protocols.is_empty() { TlsProtocol::ALL.to_vec() } else { protocols };
                *tls = tls.clone().protocols(protocols);
            }
            TlsSetting::UserFrom if value.eq_ignore_ascii_case(OFF) => tls.user_from = None,
            TlsSetting::UserFrom => {
                let field = value.parse().map_err(|error: String| format!("{error}, or {OFF}"))?;
                tls.user_from = Some(field);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_the_texts_of_redis() {
        let mut tls = ServerTls::new("a.crt", "a.key");
        let all = |tls: &ServerTls| TlsSetting::ALL.map(|setting| setting.get(tls));
        assert_eq!(all(&tls), ["a.crt", "a.key", "", "no", "TLSv1.2 TLSv1.3", "off"]);
        let mut set = |setting: TlsSetting, value| setting.set(&mut tls, value);
        assert_eq!(set(TlsSetting::Certificate, "b.crt"), Ok(()));
        assert_eq!(set(TlsSetting::ClientCa, "ca.crt"), Ok(()));
        assert_eq!(TlsSetting::AuthClients.get(&tls), "yes");
        let mut set = |setting: TlsSetting, value| setting.set(&mut tls, value);
        assert_eq!(set(TlsSetting::AuthClients, "Optional"), Ok(()));
        assert_eq!(set(TlsSetting::Protocols, "tlsv1.3"), Ok(()));
        assert_eq!(set(TlsSetting::UserFrom, "cn"), Ok(()));
        for (setting, value, why) in [
            (
                TlsSetting::AuthClients,
                "maybe",
                "\"maybe\" does not say whether clients need a certificate: use no, yes or optional",
            ),
            (
                TlsSetting::Protocols,
                "TLSv1.1",
                "\"TLSv1.1\" is not a supported TLS version: use TLSv1.2 or TLSv1.3",
            ),
            (
                TlsSetting::UserFrom,
                "EMAIL",
                "\"EMAIL\" is not a field that can name a user: use CN, URI or DNS, or off",
            ),
        ] {
            assert_eq!(set(setting, value), Err(why.to_owned()));
        }
        assert_eq!(all(&tls), ["b.crt", "a.key", "ca.crt", "optional", "TLSv1.3", "CN"]);
        let mut set = |setting: TlsSetting, value| setting.set(&mut tls, value);
        assert_eq!(set(TlsSetting::Protocols, ""), Ok(()));
        assert_eq!(set(TlsSetting::ClientCa, ""), Ok(()));
        assert_eq!(set(TlsSetting::AuthClients, "no"), Ok(()));
        assert_eq!(set(TlsSetting::UserFrom, "OFF"), Ok(()));
        assert_eq!(all(&tls), ["b.crt", "a.key", "", "no", "TLSv1.2 TLSv1.3", "off"]);
    }
}
