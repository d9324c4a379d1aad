//! The part of a connection that puts the key prefix of its client before keys and channels.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Connection, ConnectionState, admission::Admission};
use crate::{
    Error,
    batch::{Batch, CommandRef, Resolved},
    client::ClientFlag,
    command::{Flags, Spec},
    resp::glob,
};

/// The effect of a key prefix on a request.
#[derive(Clone, Copy, PartialEq)]
enum Effect {
    /// The request is as before: it has no keys, or a proxy adds the prefix.
    None,
    /// The keys and channels have the prefix.
    Prefixed,
    /// The request is refused, because it could reach keys of other users.
    Refused,
}

impl ConnectionState {
    /// Sets the prefix of all keys and channels of the client.
    ///
    /// Subscriptions, tracked and watched keys end: their names have the prefix of the user before.
    pub(super) fn set_key_prefix(&mut self, prefix: Bytes) {
        if self.key_prefix == prefix {
            return;
        }
        self.subscriptions = None;
        self.watch = None;
        self.server.keyspace.untrack(&self.client);
        self.client.set(ClientFlag::WasReset, true);
        self.client.set_key_prefix(&prefix);
        self.key_prefix = prefix;
    }
}

impl Connection {
    /// Puts the key prefix of the client before the keys and channels of the next requests, once.
    ///
    /// It stops behind a command that can change the user. It also stops at a request that is refused: that one is
    /// [denied](Resolved::Denied), so that its actor stops before it. Returns the decision about the next request, unless it may
    /// run as it is.
    #[inline(never)]
    pub(super) fn prefix_keys(&mut self, batch: &mut Batch) -> Option<Admission> {
        let (server, key_prefix) = (&self.state.server, &self.state.key_prefix);
        batch.out.encoder_mut().set_key_prefix(key_prefix);
        let next = batch.next_request();
        if key_prefix.is_empty() || batch.prefixed > next {
            return None;
        }
        let mut has_changed = false;
        for index in next.. {
            let Some(resolved) = batch.requests.target(index) else { break };
            let command = resolved.target().map(|target| server.routes.command(target.command));
            match command.map_or(Effect::None, |command| self.prefix_request(batch, index, command)) {
                Effect::None => {}
                Effect::Prefixed => has_changed = true,
                Effect::Refused if index == next => return Some(Admission::NotForTenants),
                Effect::Refused => {
                    batch.requests.replace_target(index, Resolved::Denied);
                    break;
                }
            }
            batch.prefixed = index + 1;
            if command.is_some_and(|command| command.flags.contains(Flags::NO_AUTH)) {
                break;
            }
        }
        has_changed.then_some(Admission::Held)
    }

    /// Puts the key prefix of the client before the keys and channels of one request.
    fn prefix_request(&self, batch: &mut Batch, index: u32, command: &Spec) -> Effect {
        let ConnectionState { server, key_prefix, worker, .. } = &self.state;
        let Some(words) = batch.requests.words(index) else { return Effect::None };
        // The proxy knows which words are keys.
        if command.flags.contains(Flags::FORWARDED) {
            return Effect::None;
        }
        let keys = command.key_accesses(words.len(), |index| words.get(index)).map(|(position, _)| position);
        let (keys, channels): (BTreeSet<usize>, _) = (keys.collect(), command.channels(words.len()));
        if keys.is_empty() && channels.is_empty() {
            let is_safe = command.flags.contains(Flags::TENANT_SAFE);
            return if is_safe { Effect::None } else { Effect::Refused };
        }
        let is_pattern = command.flags.contains(Flags::PATTERNS);
        let channel_prefix = if is_pattern { glob::escape(key_prefix) } else { key_prefix.to_vec() };
        let prefix_of = |position: usize| match position {
            _ if keys.contains(&position) => &key_prefix[..],
            _ if channels.contains(&position) => &channel_prefix,
            _ => b"",
        };
        if !batch.requests.prefix_words(index, prefix_of) {
            return Effect::Refused;
        }
        if let Some(words) = batch.requests.words(index) {
            // The key decides which shard runs the request.
            let resolved = server.routes.resolve_further(words, *worker);
            batch.requests.replace_target(index, resolved);
        }
        Effect::Prefixed
    }

    /// Answers a request that could reach keys of other users with an error.
    #[cold]
    pub(super) fn refuse_for_tenants(&mut self, target: CommandRef, batch: &mut Batch) {
        let words = batch.requests.words(batch.next_request());
        let server = &self.state.server;
        let command = server.routes.command(target.command);
        let name = server.acl.full_name(command, |index| words?.get(index));
        let error = Error::new(
            "NOPERM",
            format_args!("'{name}' is not available with a prefix for keys: it could reach other keys"),
        );
        self.refuse(Some(target), batch, &error);
    }
}
