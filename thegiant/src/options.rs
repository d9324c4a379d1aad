//! What a server allows, under the names of Redis' configuration.

use std::time::Duration;

use crate::resp::DecodeLimits;

/// The settings of a server. [`Server`](crate::Server) documents each at the method that sets it.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) max_clients: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) tcp_keepalive: Option<Duration>,
    pub(crate) databases: u16,
    pub(crate) max_bulk_len: usize,
    pub(crate) query_buffer_limit: usize,
    pub(crate) shutdown_timeout: Duration,
    /// SIGTERM and SIGINT stop the server.
    pub(crate) signals: bool,
}

/// Connections that may wait to be accepted. With less, the kernel drops what overflows when
/// thousands connect at once, and those clients wait for their retransmits.
pub(crate) const BACKLOG: i32 = 4096;

impl Default for Options {
    fn default() -> Self {
        Options {
            max_clients: 10_000,
            timeout: None,
            tcp_keepalive: Some(Duration::from_secs(300)),
            databases: 16,
            max_bulk_len: DecodeLimits::default().bulk_len,
            query_buffer_limit: 1024 * 1024 * 1024,
            shutdown_timeout: Duration::from_secs(10),
            signals: true,
        }
    }
}

impl Options {
    pub(crate) fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits::default().with_bulk_len(self.max_bulk_len)
    }

    /// The settings as `CONFIG GET` shows them.
    pub(crate) fn settings(&self) -> [(&'static str, String); 10] {
        let seconds =
            |duration: Option<Duration>| duration.map_or(0, |duration| duration.as_secs()).to_string();
        [
            ("maxclients", self.max_clients.to_string()),
            ("timeout", seconds(self.timeout)),
            ("tcp-keepalive", seconds(self.tcp_keepalive)),
            ("tcp-backlog", BACKLOG.to_string()),
            ("databases", self.databases.to_string()),
            ("proto-max-bulk-len", self.max_bulk_len.to_string()),
            ("client-query-buffer-limit", self.query_buffer_limit.to_string()),
            ("shutdown-timeout", self.shutdown_timeout.as_secs().to_string()),
            // What a toolkit cannot know; tools ask for it and want an answer.
            ("save", String::new()),
            ("appendonly", "no".to_owned()),
        ]
    }
}
