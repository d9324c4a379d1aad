//! The state of a client that `CLIENT LIST` shows and the limits check.

use std::sync::Arc;

use bytes::Bytes;
#[cfg(feature = "tls")]
use thegiant_tls::ClientCertificate;

use super::{
    Client, ClientFlag, CloseRequest, UpstreamNames,
    flags::CLOSE_REQUEST,
    memory::ClientMemory,
    slot::{ClientNames, ClientSlot},
};
use crate::{batch::CommandId, command::Flags, resp::Protocol, sync::atomic::Ordering::Relaxed};

impl Client {
    pub(crate) fn set_db(&self, db: u16) {
        self.0.db.store(db, Relaxed);
    }

    pub(crate) fn set_protocol(&self, protocol: Protocol) {
        self.0.protocol.store(if protocol == Protocol::Resp3 { 3 } else { 2 }, Relaxed);
    }

    /// Sets the user; `None` is `default`.
    pub(crate) fn set_user(&self, user: Option<Arc<[u8]>>) {
        let mut slot = self.slot();
        // Clients of the default user need no allocation for a name.
        if user.is_some() || slot.extra().is_some_and(|extra| extra.user.is_some()) {
            slot.extra_mut().user = user;
        }
    }

    /// Sets the certificate that the client has sent, and accounts for its memory.
    #[cfg(feature = "tls")]
    pub(crate) fn set_certificate(&self, certificate: ClientCertificate) {
        let memory = certificate.memory();
        self.slot().extra_mut().certificate = Some(Arc::new(certificate));
        self.account(0, memory);
    }

    /// Sets the prefix of all keys and channels of the client.
    pub(crate) fn set_key_prefix(&self, prefix: &Bytes) {
        if self.key_prefix() != prefix {
            self.slot().extra_mut().key_prefix = prefix.clone();
            self.set(ClientFlag::Tenant, !prefix.is_empty());
        }
    }

    pub(crate) fn set_name(&self, name: Option<String>) {
        // Avoid the allocation of the names for a client that never had one.
        if name.is_some() || self.name().is_some() {
            self.change_names(|names| names.connection = name);
        }
    }

    pub(crate) fn set_library(&self, name: &str) {
        self.change_names(|names| names.library = Some(name.to_owned()));
    }

    pub(crate) fn set_library_version(&self, version: &str) {
        self.change_names(|names| names.library_version = Some(version.to_owned()));
    }

    /// Changes the names, and accounts for their memory.
    fn change_names(&self, change: impl FnOnce(&mut ClientNames)) {
        let (before, after) = {
            let mut slot = self.slot();
            let names = slot.names();
            let before = names.memory();
            change(names);
            (before, names.memory())
        };
        self.account(before, after);
    }

    /// Returns the strongest close request so far.
    pub(crate) fn close_request(&self) -> CloseRequest {
        match self.0.signals.load(Relaxed) & CLOSE_REQUEST {
            0 => CloseRequest::None,
            1 => CloseRequest::AfterReplies,
            2 => CloseRequest::Graceful,
            _ => CloseRequest::Now,
        }
    }

    /// Asks the connection to close. A weaker request does not replace a stronger one.
    pub(crate) fn request_close(&self, close_request: CloseRequest) {
        let strengthen = |signals: u8| {
            Some((signals & !CLOSE_REQUEST) | (signals & CLOSE_REQUEST).max(close_request as u8))
        };
        let _ = self.0.signals.fetch_update(Relaxed, Relaxed, strengthen);
        self.wake();
    }

    /// Returns whether the client has any subscription.
    pub(crate) fn is_subscriber(&self) -> bool {
        self.subscribed() != [0; 3]
    }

    /// Returns the numbers of subscribed channels, patterns and shard channels.
    pub(crate) fn subscribed(&self) -> [usize; 3] {
        self.slot().extra().map_or([0; 3], |extra| extra.subscribed)
    }

    pub(crate) fn set_subscribed(&self, subscribed: [usize; 3]) {
        self.slot().extra_mut().subscribed = subscribed;
    }

    /// Takes over what the client has subscribed at an upstream.
    pub(crate) fn set_upstream_names(&self, names: &UpstreamNames) {
        let counts = names.counts();
        let is_subscriber = counts != [0; 3];
        let mut slot = self.slot();
        let extra = slot.extra_mut();
        extra.subscribed = counts;
        extra.upstream_names = is_subscriber.then(|| names.clone());
        self.set(ClientFlag::UpstreamSubscriber, is_subscriber);
    }

    /// Forgets the subscriptions at an upstream: all of them, or these names only.
    pub(crate) fn forget_upstream_names(&self, ended: Option<&UpstreamNames>) {
        if !self.is(ClientFlag::UpstreamSubscriber) {
            return;
        }
        let mut slot = self.slot();
        let extra = slot.extra_mut();
        let is_ended = |names: &mut UpstreamNames| ended.is_none_or(|ended| names.is_same(ended));
        if extra.upstream_names.take_if(is_ended).is_some() {
            extra.subscribed = [0; 3];
            self.set(ClientFlag::UpstreamSubscriber, false);
        }
    }

    /// Returns whether `is_wanted` is true for the kind and the name of any subscription at an upstream.
    pub(crate) fn any_upstream_name(&self, is_wanted: impl Fn(usize, &[u8]) -> bool) -> bool {
        if !self.is(ClientFlag::UpstreamSubscriber) {
            return false;
        }
        let names = self.slot().extra().and_then(|extra| extra.upstream_names.clone());
        names.is_some_and(|names| names.any(is_wanted))
    }

    /// Returns the number of queued commands of a transaction, and their size in bytes.
    pub(crate) fn queued(&self) -> Option<(u32, usize)> {
        self.slot().extra()?.queued
    }

    pub(crate) fn set_queued(&self, queued: Option<(u32, usize)>) {
        self.slot().extra_mut().queued = queued;
    }

    /// Returns the number of watched keys.
    pub(crate) fn watched_keys(&self) -> usize {
        self.slot().extra().map_or(0, |extra| extra.watched_keys)
    }

    pub(crate) fn set_watched_keys(&self, watched_keys: usize) {
        self.slot().extra_mut().watched_keys = watched_keys;
    }

    /// Returns the flags of the queued commands, while the middleware decides about their `EXEC`.
    pub(crate) fn queued_flags(&self) -> Flags {
        self.slot().extra().map_or(Flags::NONE, |extra| extra.queued_flags)
    }

    pub(crate) fn set_queued_flags(&self, flags: Flags) {
        self.slot().extra_mut().queued_flags = flags;
    }

    /// Accounts for a change in the memory of names, subscriptions, watched keys, tracking prefixes or queued commands.
    pub(crate) fn account(&self, before: usize, after: usize) {
        {
            let mut slot = self.slot();
            let memory = &mut slot.extra_mut().memory;
            *memory = *memory - before + after;
        }
        if let Some(host) = self.host() {
            host.account(self, before, after);
        }
    }

    /// Switches `CLIENT NO-EVICT` on or off, and moves the memory of the client to the other sum of `memory`.
    pub(super) fn set_no_evict(&self, on: bool, memory: &ClientMemory) {
        // The lock holds up pushes: each is counted as the flag was when it was added.
        let slot = self.slot();
        if self.is(ClientFlag::NoEvict) != on {
            self.set(ClientFlag::NoEvict, on);
            memory.switch_no_evict(on, self.memory_with(&slot));
        }
    }

    pub(crate) fn is(&self, flag: ClientFlag) -> bool {
        self.0.flags.load(Relaxed) & flag as u16 != 0
    }

    pub(crate) fn set(&self, flag: ClientFlag, on: bool) {
        if on {
            self.0.flags.fetch_or(flag as u16, Relaxed);
        } else {
            self.0.flags.fetch_and(!(flag as u16), Relaxed);
        }
    }

    /// Ends what the flags say about a transaction on an upstream.
    pub(crate) fn forget_proxied_transaction(&self) {
        for flag in [
            ClientFlag::InProxiedTransaction,
            ClientFlag::ProxiedTransactionAborted,
            ClientFlag::ProxiedQueueRefused,
        ] {
            self.set(flag, false);
        }
    }

    /// Sets whether the connection wakes when the client sends something or disconnects.
    ///
    /// If not, a command that blocks has to wake the connection.
    pub(crate) fn set_watched(&self, watched: bool) {
        // Most connections are never watched, and a read of the flag is cheaper than an atomic write.
        if self.is(ClientFlag::Watched) != watched {
            self.set(ClientFlag::Watched, watched);
        }
    }

    pub(crate) fn set_last_command(&self, command: CommandId) {
        self.0.command.store(u32::from(command.0), Relaxed);
    }

    pub(crate) fn last_command(&self) -> Option<CommandId> {
        u16::try_from(self.0.command.load(Relaxed)).ok().map(CommandId)
    }

    /// Returns the file descriptor of the socket.
    pub(crate) fn descriptor(&self) -> i32 {
        self.0.endpoints.descriptor
    }

    /// Returns the bytes of incomplete requests.
    pub(crate) fn input(&self) -> usize {
        self.0.input.load(Relaxed) as usize
    }

    /// Returns the bytes of unsent replies, without the pending pushes.
    pub(crate) fn output(&self) -> usize {
        self.0.output.load(Relaxed) as usize
    }

    /// Sets the bytes of incomplete requests. Returns the value that was stored, which saturates.
    pub(crate) fn set_input(&self, input: usize) -> usize {
        self.0.input.store(saturate(input), Relaxed);
        self.input()
    }

    /// Sets the bytes of unsent replies, which saturate. Returns the bytes before.
    pub(crate) fn replace_output(&self, output: usize) -> usize {
        self.0.output.swap(saturate(output), Relaxed) as usize
    }

    /// Sets the place where the proxy keeps the requests of the client that it has sent on.
    pub(crate) fn set_in_flight(&self, id: usize) {
        self.0.in_flight.store(saturate(id), Relaxed);
    }

    /// Returns the place where the proxy has kept the last requests of the client that it has sent on.
    ///
    /// They may have their replies, and other requests may have taken their place.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.in_flight.load(Relaxed) as usize
    }

    /// Counts replies of an upstream that the connection does not have yet, and closes the client if it exceeds a limit.
    ///
    /// Returns whether the client still waits for replies.
    pub(crate) fn count_replies(&self, bytes: usize) -> bool {
        let Some(host) = self.host() else { return false };
        let before = {
            // The client may leave meanwhile. Then its bytes no longer count.
            let _slot = self.slot();
            if !self.is_connected() {
                return false;
            }
            self.replace_output(bytes)
        };
        host.account(self, before, saturate(bytes) as usize);
        host.limit_output(self, bytes);
        self.is_connected() && self.close_request() != CloseRequest::Now
    }

    /// Returns the memory of the client in bytes, beyond the fixed size of a connection.
    pub(crate) fn memory(&self) -> usize {
        self.memory_with(&self.slot())
    }

    fn memory_with(&self, slot: &ClientSlot) -> usize {
        self.input() + self.output() + slot.extra().map_or(0, |extra| extra.pushed.len() + extra.memory)
    }
}

fn saturate(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
