//! A log of the commands.

use std::fmt;

use super::{Middleware, Outcome};
use crate::{Request, observe::quote::quote};

/// Logs one line for each command, with its client, its keys and its outcome.
///
/// The line is a `tracing` event of the level `INFO` and the target `thegiant::audit`, with these fields:
///
/// | field | value |
/// | --- | --- |
/// | `id`, `client`, `user`, `db` | the client, as in `CLIENT LIST` |
/// | `command` | the name, such as `set` or `config\|get` |
/// | `keys` | the keys in quotes, as `MONITOR` shows them; with [`arguments`](Self::arguments), all arguments in field `args` |
/// | `outcome` | `ok`, or the code of the error |
/// | `took_us` | the time until the reply in microseconds; see [`Outcome::took`] |
///
/// ```
/// use thegiant::{command::Flags, middleware::AuditLog, prelude::*};
///
/// let app = || {
///     App::new().middleware(AuditLog::new().only(|request: &Request| request.flags().contains(Flags::WRITE)))
/// };
/// ```
///
/// A filter of `tracing_subscriber` sends the events to a file of their own: `thegiant::audit=info`. If nothing records the
/// target, the middleware only asks `tracing` for it. Users and passwords are shown as `(redacted)`, as in `MONITOR` and `SLOWLOG`.
#[derive(Default)]
pub struct AuditLog {
    filter: Option<Filter>,
    arguments: bool,
}

type Filter = Box<dyn Fn(&Request<'_>) -> bool + Send + Sync>;

/// Maximum number of words in a line, and of bytes of each word, as in `SLOWLOG`.
const MAX_WORDS: usize = 32;
const MAX_WORD_LEN: usize = 128;

impl AuditLog {
    /// Returns a log of all commands.
    pub fn new() -> Self {
        AuditLog::default()
    }

    /// Logs only the requests for which `filter` returns `true`.
    #[must_use]
    pub fn only(mut self, filter: impl Fn(&Request<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Box::new(filter));
        self
    }

    /// Logs all arguments, not only the keys. They may contain personal data.
    #[must_use]
    pub fn arguments(mut self) -> Self {
        self.arguments = true;
        self
    }
}

impl Middleware for AuditLog {
    fn after(&self, request: &Request<'_>, outcome: &Outcome<'_>) {
        if !tracing::enabled!(target: "thegiant::audit", tracing::Level::INFO) {
            return;
        }
        if self.filter.as_ref().is_some_and(|is_logged| !is_logged(request)) {
            return;
        }
        let client = request.client();
        let keys = (!self.arguments).then(|| quoted(request.keys()));
        let args = self.arguments.then(|| quoted(request.redacted().skip(1)));
        tracing::info!(
            target: "thegiant::audit",
            id = client.id(), client = %client.addr(), user = client.user(), db = client.db(),
            command = request.logged_name(), keys, args,
            outcome = outcome.error_code().unwrap_or("ok"), took_us = outcome.took().as_micros() as u64,
            "command"
        );
    }
}

/// Returns words in quotes, shortened.
fn quoted<'a>(words: impl Iterator<Item = &'a [u8]>) -> String {
    let mut line = Vec::new();
    for (index, word) in words.enumerate() {
        if index > 0 {
            line.push(b' ');
        }
        if index == MAX_WORDS {
            line.extend(b"...");
            break;
        }
        quote(&word[..word.len().min(MAX_WORD_LEN)], &mut line);
        if word.len() > MAX_WORD_LEN {
            line.extend(b"...");
        }
    }
    String::from_utf8_lossy(&line).into_owned()
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("arguments", &self.arguments).finish_non_exhaustive()
    }
}
