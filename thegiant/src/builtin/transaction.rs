//! The commands of transactions: `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `UNWATCH`.

use crate::{
    Error, Key,
    batch::{ReplyBuffer, WaitId},
    client::ClientFlag,
    command::{Answer, Request},
    commands,
    conn::ConnectionState,
    dispatch::{Transaction, TransactionQueue},
    keyspace::Watch,
};

#[commands(rows = TRANSACTION, group = "transactions")]
impl ConnectionState {
    /// Starts a transaction.
    #[command("MULTI", noscript, loading, stale, fast, allow_busy, never_queued, tenant_safe)]
    fn multi(&mut self) -> Result<(), Error> {
        if !self.transaction.is_none() {
            return Err(NESTED);
        }
        self.transaction = Transaction::Queued(Box::new(TransactionQueue::new()));
        Ok(())
    }

    /// Executes all commands in a transaction.
    #[command("EXEC", noscript, loading, stale, skip_slowlog, never_queued, executes, tenant_safe)]
    fn exec(&mut self) -> Result<ExecReply, Error> {
        let queue = self.transaction.queue().ok_or(EXEC_WITHOUT_MULTI)?;
        if queue.is_aborted() {
            self.end_transaction();
            return Err(Error::EXEC_ABORT);
        }
        if self.client.is(ClientFlag::Dirty) {
            self.end_transaction();
            return Ok(ExecReply::Aborted);
        }
        Ok(ExecReply::Deferred)
    }

    /// Discards a transaction.
    #[command("DISCARD", noscript, loading, stale, fast, allow_busy, never_queued, tenant_safe)]
    fn discard(&mut self) -> Result<(), Error> {
        self.transaction.queue().ok_or(DISCARD_WITHOUT_MULTI)?;
        self.end_transaction();
        Ok(())
    }

    /// Monitors changes to keys to determine the execution of a transaction.
    #[command("WATCH", noscript, loading, stale, fast, allow_busy, never_queued)]
    fn watch(&mut self, #[key(RO)] key: Vec<Key<&[u8]>>) -> Result<(), Error> {
        if !self.transaction.is_none() {
            return Err(WATCH_INSIDE_MULTI);
        }
        let (keyspace, client) = (&self.server.keyspace, &self.client);
        let watch = self.watch.get_or_insert_with(|| Box::new(Watch::new(keyspace.clone(), client.clone())));
        key.into_iter().for_each(|Key(key)| watch.add(key));
        Ok(())
    }

    /// Forgets about watched keys of a transaction.
    #[command("UNWATCH", noscript, loading, stale, fast, allow_busy, tenant_safe)]
    fn unwatch(&mut self) {
        self.watch = None;
    }
}

const NESTED: Error = Error::from_static("ERR MULTI calls can not be nested");
const EXEC_WITHOUT_MULTI: Error = Error::from_static("ERR EXEC without MULTI");
const DISCARD_WITHOUT_MULTI: Error = Error::from_static("ERR DISCARD without MULTI");
const WATCH_INSIDE_MULTI: Error = Error::from_static("ERR WATCH inside MULTI is not allowed");

/// The reply of `EXEC`.
enum ExecReply {
    /// The connection runs the queued commands, and their replies become the reply.
    Deferred,
    /// A watched key has changed.
    Aborted,
}

#[diagnostic::do_not_recommend]
impl Answer<ConnectionState> for Result<ExecReply, Error> {
    fn answer(self, _: &Request<'_>, _: &mut (), out: &mut ReplyBuffer) {
        match self {
            Ok(ExecReply::Deferred) => out.defer(WaitId::EXEC),
            Ok(ExecReply::Aborted) => out.encoder_mut().null_array(),
            Err(error) => out.error(&error),
        }
    }
}
