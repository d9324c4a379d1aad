//! The store in which the instances agree.

use std::io;

use cli::usage_error;
use percent_encoding::percent_decode_str;
use thegiant_cluster::{ClientTls, Etcd, Member, Postgres};

/// Returns a member whose store has this URL.
///
/// # Errors
/// Returns an error if the URL is wrong, or if a file that it names is unusable. The text has no password.
pub(crate) fn member(url: &str, node: &str, address: String) -> io::Result<Member> {
    if let Some(url) = EtcdUrl::parse(url)? {
        let store = url.store().map_err(|error| mistake(&error.to_string()))?;
        Ok(Member::new(store, node, address))
    } else if thegiant_postgres::is_url(url) {
        Ok(Member::new(Postgres::new(url, "jobs")?, node, address))
    } else {
        Err(mistake(NO_STORE))
    }
}

/// The parts of `etcd://[USER:PASSWORD@]HOST:PORT[,HOST:PORT...][/PREFIX]`, or of the same with `etcds` and files.
#[derive(Debug, PartialEq, Eq)]
struct EtcdUrl {
    endpoints: Vec<String>,
    user: Option<(String, String)>,
    prefix: String,
    files: Files,
}

/// The files for TLS, with the names of the options of etcdctl.
#[derive(Debug, Default, PartialEq, Eq)]
struct Files {
    cacert: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

impl EtcdUrl {
    /// Returns `None` if the URL does not begin as those of etcd.
    fn parse(url: &str) -> io::Result<Option<Self>> {
        let (scheme, rest) = match url.split_once("://") {
            Some(("etcd", rest)) => ("http", rest),
            Some(("etcds", rest)) => ("https", rest),
            _ => return Ok(None),
        };
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (servers, prefix) = rest.split_once('/').unwrap_or((rest, "jobs"));
        if prefix.contains('@') {
            return Err(mistake(NO_PASSWORD));
        }
        let (user, hosts) = match servers.rsplit_once('@') {
            Some((user, hosts)) => (Some(user.split_once(':').ok_or_else(|| mistake(NO_PASSWORD))?), hosts),
            None => (None, servers),
        };
        let user = user.map(|(name, password)| io::Result::Ok((decoded(name)?, decoded(password)?)));
        let files = Files::parse(options)?;
        if scheme == "http" && files != Files::default() {
            return Err(mistake("the files for TLS need etcds://"));
        }
        Ok(Some(EtcdUrl {
            endpoints: hosts.split(',').map(|host| format!("{scheme}://{host}")).collect(),
            user: user.transpose()?,
            prefix: format!("/{prefix}/"),
            files,
        }))
    }

    fn store(self) -> io::Result<Etcd> {
        let mut store = Etcd::new(&self.endpoints, self.prefix)?;
        if let Some((name, password)) = self.user {
            store = store.user(name, password);
        }
        if self.files == Files::default() {
            return Ok(store);
        }
        let mut tls = ClientTls::new();
        if let Some(authorities) = self.files.cacert {
            tls = tls.ca(authorities);
        }
        if let Some((certificate, key)) = self.files.cert.zip(self.files.key) {
            tls = tls.certificate(certificate, key);
        }
        store.tls(tls)
    }
}

impl Files {
    fn parse(options: &str) -> io::Result<Self> {
        let mut files = Files::default();
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let file = match option.split_once('=') {
                Some(("cacert", file)) => (&mut files.cacert, file),
                Some(("cert", file)) => (&mut files.cert, file),
                Some(("key", file)) => (&mut files.key, file),
                // The text may be a part of a password.
                _ => return Err(mistake(NO_OPTION)),
            };
            *file.0 = Some(decoded(file.1)?);
        }
        match files.cert.is_some() == files.key.is_some() {
            true => Ok(files),
            false => Err(mistake("cert and key belong together")),
        }
    }
}

/// Decodes `%40`.
fn decoded(text: &str) -> io::Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| mistake("a part of the URL is not UTF-8"))?.into_owned())
}

fn mistake(text: &str) -> io::Error {
    usage_error(format!("--cluster-store: {text}"))
}

const NO_STORE: &str =
    "expected etcd://HOST:PORT[,HOST:PORT...][/PREFIX], the same with etcds://, or postgres://USER@HOST/NAME";
const NO_PASSWORD: &str =
    "a user of etcd has a password: write USER:PASSWORD@, with %40 for @, %2F for / and %3F for ?";
const NO_OPTION: &str =
    "the options of a URL of etcd are cacert, cert and key, each with a file; write %3F for ? in a password";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> EtcdUrl {
        EtcdUrl::parse(url).expect("it is valid").expect("it is for etcd")
    }

    #[test]
    fn a_url_has_servers_and_a_prefix() {
        let expected = EtcdUrl {
            endpoints: vec!["http://a:1".to_owned(), "http://b:2".to_owned()],
            user: None,
            prefix: "/jobs/".to_owned(),
            files: Files::default(),
        };
        assert_eq!(parsed("etcd://a:1,b:2"), expected);
        assert_eq!(parsed("etcd://a:1,b:2/shop/jobs").prefix, "/shop/jobs/");
        for url in ["postgres://u@h/n", "http://a:1", "a:1"] {
            assert_eq!(EtcdUrl::parse(url).expect("it is valid"), None, "{url}");
        }
    }

    #[test]
    fn a_url_has_a_user_and_files() {
        let url = parsed("etcds://me:a%40b%3A:@a:1/shop?cacert=/ca%20.crt&cert=c&key=k");
        let text = str::to_owned;
        assert_eq!(url.endpoints, ["https://a:1"]);
        assert_eq!(url.user, Some((text("me"), text("a@b::"))));
        assert_eq!(url.prefix, "/shop/");
        let [cacert, cert, key] = ["/ca .crt", "c", "k"].map(text).map(Some);
        assert_eq!(url.files, Files { cacert, cert, key });
        assert_eq!(parsed("etcds://a:1").files, Files::default());
    }

    #[thegiant::test]
    async fn mistakes_are_errors_without_the_password() {
        let error = |url| member(url, "a", "h:1".to_owned()).map(drop).expect_err("a mistake").to_string();
        for (url, text) in [
            ("h:2379", NO_STORE),
            ("etcd://me@h:1", NO_PASSWORD),
            ("etcd://me:secret?@h:1", NO_OPTION),
            ("etcd://h:1?cacert=c", "the files for TLS need etcds://"),
            ("etcds://h:1?cert=c", "cert and key belong together"),
            ("etcd://me:%ff@h:1", "a part of the URL is not UTF-8"),
        ] {
            assert_eq!(error(url), format!("--cluster-store: {text}"), "{url}");
        }
        for (url, text) in [
            ("etcd://me:secret/@h:1", "%2F for /"),
            ("etcd://me:secret@h h:1", "\"http://h h:1\" is no endpoint"),
            ("etcds://me:secret@h:1?cacert=/none", "cannot use the certificate /none"),
        ] {
            let error = error(url);
            assert!(error.starts_with("--cluster-store: ") && error.contains(text), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
        }
        let error = error("postgres://me:secret@h:p/n");
        assert!(error.contains("invalid") && !error.contains("secret"), "{error}");
    }
}
