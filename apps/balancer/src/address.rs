//! The addresses that servers name.

/// Returns the address as HOST:PORT, or `None` if the host is unknown or the port is invalid.
///
/// If the host is empty, it is the host of `sender`, the server that named the address. The host `?` is unknown.
pub(crate) fn address(host: &str, port: &str, sender: &str) -> Option<String> {
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
    fn addresses_are_relative_to_the_server_that_names_them() {
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
}
