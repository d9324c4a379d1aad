//! A switch that refuses writes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::{Decision, Middleware};
use crate::{
    Error, Request,
    command::{Flags, is_read_of_redis},
};

/// Refuses commands that write, while it is on, with the error of a Redis replica.
///
/// The error is `-READONLY You can't write against a read only replica.` Clones share the switch:
///
/// ```
/// use thegiant::{middleware::ReadOnly, prelude::*};
///
/// let read_only = ReadOnly::off();
/// let app = App::new().middleware(read_only.clone());
/// read_only.set(true); // at any time, from any thread
/// ```
///
/// A command writes if it has the flag `write`, and `EXEC` writes if one of its commands does. Of the commands
/// [without a row](Request::spec), those of a proxy or a fallback, only those run that do not write in Redis 8, such as `GET` and
/// `SUBSCRIBE`. [`allow`](Self::allow) adds others.
#[derive(Clone, Debug, Default)]
pub struct ReadOnly {
    is_on: Arc<AtomicBool>,
    allowed: Vec<String>,
}

impl ReadOnly {
    /// Returns a switch that is on.
    pub fn on() -> Self {
        let switch = ReadOnly::default();
        switch.set(true);
        switch
    }

    /// Returns a switch that is off.
    pub fn off() -> Self {
        ReadOnly::default()
    }

    /// Allows a command without a row, such as a command of a Redis module or of a fallback.
    #[must_use]
    pub fn allow(mut self, name: &str) -> Self {
        self.allowed.push(name.to_owned());
        self
    }

    /// Switches it on or off, for all clones. Commands that run already are not affected.
    pub fn set(&self, on: bool) {
        self.is_on.store(on, Relaxed);
    }

    /// Returns whether it is on.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    fn may_write(&self, request: &Request<'_>) -> bool {
        if request.spec().is_some() {
            return request.flags().contains(Flags::WRITE);
        }
        let is_read = is_read_of_redis(request.name());
        // The server itself rejects an unknown command.
        request.has_command() && !is_read && !self.allowed.iter().any(|name| request.is(name))
    }
}

impl Middleware for ReadOnly {
    fn before(&self, request: &Request<'_>) -> Decision {
        if self.is_on() && self.may_write(request) {
            Decision::Refuse(Error::READ_ONLY)
        } else {
            Decision::Run
        }
    }
}
