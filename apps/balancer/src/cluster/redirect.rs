//! The redirects of a cluster.

use crate::address::address;

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

#[cfg(test)]
mod tests {
    use super::*;

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
