//! A database URL with several hosts, as PostgreSQL's own clients read it.

use std::str::FromStr;

use sqlx::any::AnyConnectOptions;

use crate::failure::{Failure, one_line};

/// A server of the database.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Its host and port, as in the URL.
    pub(crate) name: String,
    pub(crate) options: AnyConnectOptions,
}

/// The parameter that says which of several servers is wanted.
const ATTRIBUTE: &str = "target_session_attrs";

/// Splits a URL into one for each host: `postgres://user@one:5432,two:5432/name?parameters`.
///
/// Returns the hosts, and whether the URL asks for a server that accepts writes: with several hosts, or by
/// `target_session_attrs`.
pub(crate) fn parse(url: &str) -> Result<(Vec<Host>, bool), Failure> {
    let (url, attribute) = without_attribute(url);
    let wants_writable = match attribute {
        None => None,
        Some("read-write" | "primary") => Some(true),
        Some(other) => {
            return Err(format!("{ATTRIBUTE}={other} is not supported: it has to be read-write or primary"));
        }
    };
    let urls = one_for_each_host(&url);
    let hosts = urls.iter().map(|(name, url)| {
        let options = AnyConnectOptions::from_str(url).map_err(one_line)?;
        Ok(Host { name: name.clone(), options })
    });
    Ok((hosts.collect::<Result<_, Failure>>()?, wants_writable.unwrap_or(urls.len() > 1)))
}

/// Returns the URL without the parameter `target_session_attrs`, and the value of this parameter.
fn without_attribute(url: &str) -> (String, Option<&str>) {
    let Some((address, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let value =
        |parameter: &&str| parameter.strip_prefix(ATTRIBUTE).is_some_and(|rest| rest.starts_with('='));
    let attribute = query.split('&').find(value).and_then(|parameter| parameter.split_once('='));
    let others: Vec<&str> = query.split('&').filter(|parameter| !value(parameter)).collect();
    let separator = if others.is_empty() { "" } else { "?" };
    (format!("{address}{separator}{}", others.join("&")), attribute.map(|(_, value)| value))
}

/// Returns the name of each host, and a URL with only this host.
fn one_for_each_host(url: &str) -> Vec<(String, String)> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![(url.to_owned(), url.to_owned())] };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let with_host = |host: &str| (host.to_owned(), format!("{scheme}://{user}{host}{path}"));
    hosts.split(',').map(with_host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &[&str], attribute: Option<&str>) {
        let (stripped, found) = without_attribute(url);
        assert_eq!(found, attribute);
        let urls: Vec<String> = one_for_each_host(&stripped).into_iter().map(|(_, url)| url).collect();
        assert_eq!(urls, expected);
    }

    #[test]
    fn a_url_is_split_by_its_hosts() {
        check("postgres://host/db", &["postgres://host/db"], None);
        check("sqlite:a,b.db?mode=rwc", &["sqlite:a,b.db?mode=rwc"], None);
        check(
            "postgres://u:p,w@a:1,b,[::1]:2/db?x=1&target_session_attrs=primary&y=a,b",
            &[
                "postgres://u:p,w@a:1/db?x=1&y=a,b",
                "postgres://u:p,w@b/db?x=1&y=a,b",
                "postgres://u:p,w@[::1]:2/db?x=1&y=a,b",
            ],
            Some("primary"),
        );
        check(
            "postgres://%2Ftmp%2Fa,%2Ftmp%2Fb?target_session_attrs=any",
            &["postgres://%2Ftmp%2Fa", "postgres://%2Ftmp%2Fb"],
            Some("any"),
        );
    }

    #[test]
    fn a_server_that_accepts_writes_is_wanted_among_several() {
        sqlx::any::install_default_drivers();
        let parsed = |url| parse(url).map(|(hosts, wanted)| (hosts.len(), wanted));
        assert_eq!(parsed("postgres://a/db"), Ok((1, false)));
        assert_eq!(parsed("postgres://a,b/db"), Ok((2, true)));
        assert_eq!(parsed("postgres://a/db?target_session_attrs=read-write"), Ok((1, true)));
        let error = "target_session_attrs=standby is not supported: it has to be read-write or primary";
        assert_eq!(parsed("postgres://a,b/db?target_session_attrs=standby"), Err(error.to_owned()));
    }
}
