//! Checks all clients once a second for expired timeouts and exceeded limits.

use std::{collections::HashMap, time::Duration};

use crate::{
    client::{Client, ClientFlag, CloseRequest},
    server_state::ServerState,
    settings::{OutputLimit, Setting},
};

/// The state of the periodic check.
///
/// Clients are not checked if no limit needs it.
#[derive(Debug, Default)]
pub(crate) struct ClientsCron {
    /// The time since which each client exceeds its soft output limit, by client id.
    over_soft: HashMap<u64, u32>,
}

/// The current limits.
struct ClientLimits {
    timeout: Option<Duration>,
    request_timeout: Option<Duration>,
    auth_timeout: Option<Duration>,
    normal: OutputLimit,
    push: OutputLimit,
}

impl ClientsCron {
    /// Closes the clients that exceed a limit.
    pub(crate) fn run(&mut self, server: &ServerState) {
        let limits = ClientLimits::of(server);
        if !limits.is_any(server) {
            self.over_soft.clear();
            return;
        }
        let now = server.now();
        let clients = server.clients.all();
        let mut over_soft = HashMap::new();
        for client in &clients {
            if limits.is_over_soft(client) {
                let since = self.over_soft.get(&client.id()).copied().unwrap_or(now);
                over_soft.insert(client.id(), since);
            }
            let soft_age = over_soft.get(&client.id()).map(|since| now - since);
            if let Some(reason) = limits.exceeded(client, now, soft_age) {
                tracing::info!(id = client.id(), client = %client.addr(), "closed: {reason}");
                client.request_close(CloseRequest::Now);
            }
        }
        self.over_soft = over_soft;
    }
}

impl ClientLimits {
    fn of(server: &ServerState) -> Self {
        let settings = &server.settings;
        let needs_password = !server.acl.is_open();
        ClientLimits {
            timeout: settings.time(Setting::Timeout),
            request_timeout: settings.time(Setting::RequestTimeout),
            auth_timeout: settings.time(Setting::AuthTimeout).filter(|_| needs_password),
            normal: settings.output_limit(Setting::NormalOutputLimit),
            // With `drop-oldest-push`, the oldest pushes are dropped and no client is closed.
            push: if settings.flag(Setting::DropOldestPush) {
                OutputLimit::NONE
            } else {
                settings.output_limit(Setting::PushOutputLimit)
            },
        }
    }

    fn is_any(&self, server: &ServerState) -> bool {
        let times = [self.timeout, self.request_timeout, self.auth_timeout];
        // Without unsent bytes, no client can exceed an output limit.
        let may_wait = server.clients.memory.total() > 0 && (self.normal.is_any() || self.push.is_any());
        may_wait || times.iter().any(Option::is_some)
    }

    fn is_over_soft(&self, client: &Client) -> bool {
        self.normal.is_over_soft(client.output()) || self.push.is_over_soft(client.pushed_len())
    }

    /// Returns the limit that a client exceeds, as a reason for the log.
    fn exceeded(&self, client: &Client, now: u32, soft_age: Option<u32>) -> Option<&'static str> {
        // An age counts ticks. It began up to a second before its first one, so the last second may not have passed yet.
        let is_over = |limit: Option<Duration>, age: u32| {
            limit.is_some_and(|limit| age > 0 && Duration::from_secs(u64::from(age) - 1) >= limit)
        };
        let normal = self.normal.is_over_soft(client.output());
        let soft_millis = if normal { self.normal.soft_millis } else { self.push.soft_millis };
        let may_be_idle =
            client.is(ClientFlag::Monitor) || client.is(ClientFlag::Paused) || client.is_listening();
        if is_over(self.timeout, client.idle(now)) && !may_be_idle {
            Some("it was idle for too long")
        } else if client.request_age(now).is_some_and(|age| is_over(self.request_timeout, age)) {
            Some("it took too long to send a request")
        } else if client.unauthenticated_age(now).is_some_and(|age| is_over(self.auth_timeout, age)) {
            Some("it took too long to authenticate")
        } else if soft_age.is_some_and(|age| u64::from(age) * 1000 > soft_millis) {
            Some("it did not read what waited for it, for too long")
        } else if self.normal.is_over(client.output()) || self.push.is_over(client.pushed_len()) {
            // The client exceeds a limit that was lowered in the meantime.
            Some("it does not read what waits for it")
        } else {
            None
        }
    }
}
