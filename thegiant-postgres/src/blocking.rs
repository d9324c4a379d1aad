//! Clients that block their threads.

use std::fmt;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Error};

use crate::{
    Connection, Failure, Target,
    connect::{connect, drive},
};

/// A client that blocks its thread while it waits for the server.
///
/// See [`Target::connect_blocking`] for an example.
pub struct BlockingClient {
    client: Client,
    connection: Connection,
    runtime: Runtime,
}

impl BlockingClient {
    pub(crate) fn connect(target: &Target) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let limits = target.limits(Some(target.answer_timeout));
        let connecting = connect(&target.config, target.tls.as_ref(), &limits);
        let (client, connection) = runtime.block_on(connecting)?;
        limits.set_connected();
        Ok(BlockingClient { client, connection, runtime })
    }

    /// Runs statements, and waits for their end.
    ///
    /// ```no_run
    /// use thegiant_postgres::{BlockingClient, Failure};
    ///
    /// fn remove(client: &mut BlockingClient, order: i64) -> Result<bool, Failure> {
    ///     client.run(async |client| {
    ///         let transaction = client.transaction().await?;
    ///         let removed = transaction.execute("DELETE FROM orders WHERE id = $1", &[&order]).await?;
    ///         transaction.commit().await?;
    ///         Ok(removed == 1)
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// Returns the error of the statements, or that of the connection: [`is_lost`](crate::is_lost) tells them apart.
    pub fn run<T, E: From<Error>>(
        &mut self,
        statements: impl AsyncFnOnce(&mut Client) -> Result<T, E>,
    ) -> Result<T, E> {
        let BlockingClient { client, connection, runtime } = self;
        runtime.block_on(drive(connection, statements(client)))
    }
}

impl fmt::Debug for BlockingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingClient").finish_non_exhaustive()
    }
}
