//! The options of a URL for TLS, which have the names of libpq, and `answer_timeout`.

use std::{io, time::Duration};

use percent_encoding::percent_decode_str;
use thegiant_tls::ClientTls;

/// The options of a URL that the client of PostgreSQL does not know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) ssl: SslOptions,
    answer_timeout: Option<String>,
}

/// The options that begin with `ssl`, except `sslnegotiation`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SslOptions {
    mode: Option<String>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Options {
    /// Takes the options out of a URL. Returns the URL without them.
    pub(crate) fn take(url: &str) -> io::Result<(String, Self)> {
        let mut options = Options::default();
        // A password may have a question mark, too.
        let Some((base, query)) = url.rsplit_once('?') else { return Ok((url.to_owned(), options)) };
        let mut rest = Vec::new();
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let option = match name {
                "sslmode" => &mut options.ssl.mode,
                "sslrootcert" => &mut options.ssl.root,
                "sslcert" => &mut options.ssl.certificate,
                "sslkey" => &mut options.ssl.key,
                "answer_timeout" => &mut options.answer_timeout,
                _ => {
                    rest.push(parameter);
                    continue;
                }
            };
            let decoded = percent_decode_str(value).decode_utf8();
            let decoded = decoded.map_err(|error| wrong(&format!("invalid value of {name}: {error}")))?;
            *option = Some(decoded.into_owned());
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        Ok((url, options))
    }

    /// Returns the time of `answer_timeout`.
    pub(crate) fn answer_timeout(&self) -> io::Result<Option<Duration>> {
        let Some(text) = &self.answer_timeout else { return Ok(None) };
        match text.parse() {
            Ok(seconds @ 1..) => Ok(Some(Duration::from_secs(seconds))),
            _ => Err(wrong("invalid answer_timeout: write a whole number of seconds, at least 1")),
        }
    }
}

impl SslOptions {
    /// Returns the TLS configuration, or `None` if the connection is not encrypted.
    pub(crate) fn tls(self) -> io::Result<Option<ClientTls>> {
        match self.mode.as_deref() {
            Some("require" | "verify-full") => {}
            None | Some("disable" | "prefer") => {
                let file = self.root.or(self.certificate).or(self.key);
                return file.map_or(Ok(None), |_| Err(wrong("the files for TLS need sslmode=verify-full")));
            }
            Some(_) => return Err(wrong("unknown sslmode: write disable, prefer, require or verify-full")),
        }
        let mut tls = ClientTls::new();
        if let Some(root) = self.root.filter(|root| root != "system") {
            tls = tls.ca(root);
        }
        match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Ok(Some(tls.certificate(certificate, key))),
            (None, None) => Ok(Some(tls)),
            _ => Err(wrong("sslcert and sslkey belong together: write both, or neither")),
        }
    }
}

fn wrong(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(url: &str) -> (String, Options) {
        Options::take(url).expect("text")
    }

    #[test]
    fn the_options_are_taken_out_of_the_url() {
        let (url, options) =
            taken("postgres://u@h/n?sslmode=verify-full&connect_timeout=5&sslrootcert=%2Fa%20b");
        assert_eq!(url, "postgres://u@h/n?connect_timeout=5");
        let expected = SslOptions {
            mode: Some("verify-full".to_owned()),
            root: Some("/a b".to_owned()),
            ..SslOptions::default()
        };
        assert_eq!(options.ssl, expected);
        assert_eq!(taken("postgres://u@h/n?sslmode=require").0, "postgres://u@h/n");
        for url in ["postgres://u@h/n", "postgres://u:a?b@h/n", "postgres://u@h/n?host=%2Ftmp"] {
            assert_eq!(taken(url), (url.to_owned(), Options::default()));
        }
        assert!(Options::take("postgres://u@h/n?sslrootcert=%ff").is_err());
    }

    #[test]
    fn mistakes_are_errors() {
        let tls = |query: &str| taken(&format!("postgres://u@h/n?{query}")).1.ssl.tls();
        assert!(tls("").is_ok_and(|tls| tls.is_none()));
        assert!(tls("sslmode=prefer").is_ok_and(|tls| tls.is_none()));
        assert!(tls("sslmode=require").is_ok_and(|tls| tls.is_some()));
        for (query, text) in [
            ("sslmode=verify-ca", "unknown sslmode: write disable, prefer, require or verify-full"),
            ("sslrootcert=ca.crt", "the files for TLS need sslmode=verify-full"),
            ("sslmode=require&sslcert=a", "sslcert and sslkey belong together: write both, or neither"),
        ] {
            assert_eq!(tls(query).err().map(|error| error.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn the_server_has_a_time_to_answer() {
        let time = |query: &str| taken(&format!("postgres://u@h/n?{query}")).1.answer_timeout();
        assert_eq!(time("").ok(), Some(None));
        assert_eq!(time("answer_timeout=60").ok(), Some(Some(Duration::from_secs(60))));
        for query in ["answer_timeout=0", "answer_timeout=-1", "answer_timeout=1s", "answer_timeout"] {
            let error = time(query).err().map(|error| error.to_string());
            assert_eq!(
                error.as_deref(),
                Some("invalid answer_timeout: write a whole number of seconds, at least 1"),
                "{query}"
            );
        }
    }
}
