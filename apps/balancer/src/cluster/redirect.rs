//! The addresses that the nodes of a cluster name.

/// A redirect of a node, `MOVED` or `ASK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NamedNode<'a> {
    pub(super) is_ask: bool,
    pub(super) slot: usize,
    host: &'a str,
    port: &'a str,
}

impl<'a> NamedNode<'a> {
    /// Parses the text of an error, such as `MOVED 866 10.0.0.7:6379`.
    pub(super) fn parse(error: &'a str) -> Option<Self> {
        let mut words = error.split(' ');
        let is_ask = match words.next()? {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let slot = words.next()?.parse().ok()?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        Some(NamedNode { is_ask, slot, host, port })
    }

    /// Returns the address, if the node at the address `sender` sent the redirect.
    pub(super) fn address(&self, sender: &str) -> Option<String> {
        address(self.host, self.port, sender)
    }
}

/// Returns the address as HOST:PORT, or `None` if the host is unknown or the port is invalid.
///
/// If the host is empty, it is the host of `sender`: of the node that named the address. A node says `?` if it does not know
/// the host.
pub(super) fn address(host: &str, port: &str, sender: &str) -> Option<String> {
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    match host.trim_start_matches('[').trim_end_matches(']') {
        "?" => None,
        "" => match sender.rsplit_once(':')? {
            // A unix socket has no other ports.
            ("unix", _) => Some(sender.to_owned()),
            (host, _) => Some(format!("{host}:{port}")),
        },
        host if host.contains(':') => Some(format!("[{host}]:{port}")),
        host => Some(format!("{host}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_relative_to_the_node_that_names_them() {
        let of = |host, port| address(host, port, "10.0.0.9:7000");
        for (host, port, expected) in [
            ("10.0.0.1", "7001", "10.0.0.1:7001"),
            ("redis.internal", "7001", "redis.internal:7001"),
            ("::1", "7001", "[::1]:7001"),
            ("[::1]", "7001", "[::1]:7001"),
            ("", "7001", "10.0.0.9:7001"),
        ] {
            assert_eq!(of(host, port).as_deref(), Some(expected), "{host} {port}");
        }
        for (host, port) in
            [("?", "7001"), ("10.0.0.1", "0"), ("", "0"), ("", ""), ("h", "x"), ("h", "65536")]
        {
            assert_eq!(of(host, port), None, "{host} {port}");
        }
        assert_eq!(address("", "7001", "[::1]:7000").as_deref(), Some("[::1]:7001"));
        assert_eq!(address("", "7001", "unix:/run/redis.sock").as_deref(), Some("unix:/run/redis.sock"));
        // The server that named the address has been removed.
        assert_eq!(address("", "7001", ""), None);
    }

    #[test]
    fn redirects_are_parsed() {
        let parse = |error| {
            let named = NamedNode::parse(error)?;
            Some((named.is_ask, named.slot, named.address("10.0.0.9:7000")))
        };
        let to = |address: &str| Some(address.to_owned());
        assert_eq!(parse("MOVED 5 10.0.0.1:7000"), Some((false, 5, to("10.0.0.1:7000"))));
        assert_eq!(parse("ASK 5 ::1:7000"), Some((true, 5, to("[::1]:7000"))));
        assert_eq!(parse("MOVED 5 [::1]:7000"), Some((false, 5, to("[::1]:7000"))));
        assert_eq!(parse("MOVED 5 :7001"), Some((false, 5, to("10.0.0.9:7001"))));
        for unknown in ["MOVED 5 ?:7000", "MOVED 5 10.0.0.1:0", "MOVED 5 10.0.0.1:port", "MOVED 5 :"] {
            assert_eq!(parse(unknown), Some((false, 5, None)), "{unknown}");
        }
        for wrong in ["", "MOVED", "MOVED 5", "ASK 5 here", "MOVED x 10.0.0.1:7000", "ERR 5 10.0.0.1:7000"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
