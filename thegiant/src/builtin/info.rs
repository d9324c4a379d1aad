//! `INFO`: the state of the server, as lines of `field:value`.

use std::process;

use super::REDIS_VERSION;
use crate::{
    IntoReply, commands,
    connection::{Address, Session},
    resp::Encoder,
};

#[commands(rows = INFO, group = "server")]
impl Session {
    /// Returns information about the server.
    #[command("INFO", loading, stale)]
    fn info(&self, section: Option<Vec<&[u8]>>) -> Report {
        let is_asked = |name: &str| section.as_ref().is_none_or(|asked| asks_for(asked, name));
        let sections = self.sections().into_iter().filter(|(name, _)| is_asked(name));
        let texts: Vec<String> = sections.map(|(name, lines)| format!("# {name}\r\n{lines}")).collect();
        Report(texts.join("\r\n"))
    }

    /// Under the names of Redis. Clients wait for `loading:0`, and want a master.
    fn sections(&self) -> [(&'static str, String); 4] {
        let shared = &self.shared;
        let port = shared.addresses.iter().find_map(Address::port).unwrap_or(0);
        let uptime = shared.started.elapsed().as_secs();
        [
            (
                "Server",
                format!(
                    "redis_version:{REDIS_VERSION}\r\nredis_mode:standalone\r\nprocess_id:{}\r\ntcp_port:{port}\r\n\
                     uptime_in_seconds:{uptime}\r\n",
                    process::id(),
                ),
            ),
            (
                "Clients",
                format!(
                    "connected_clients:{}\r\nmaxclients:{}\r\n",
                    shared.client_count(),
                    shared.options.max_clients
                ),
            ),
            ("Persistence", "loading:0\r\n".to_owned()),
            ("Replication", "role:master\r\nconnected_slaves:0\r\n".to_owned()),
        ]
    }
}

fn asks_for(asked: &[&[u8]], name: &str) -> bool {
    let words = [name, "default", "all", "everything"];
    asked.iter().any(|section| words.iter().any(|word| section.eq_ignore_ascii_case(word.as_bytes())))
}

/// Text for people: a verbatim string.
struct Report(String);

impl IntoReply for Report {
    fn into_reply(self, out: &mut Encoder) {
        out.verbatim(*b"txt", &self.0);
    }
}
