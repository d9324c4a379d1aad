//! `CLIENT UNBLOCK`: unblocks a client.

use crate::{
    Error, FromArg,
    command::{ArgKind, ArgSpec, Arguments},
    commands,
    conn::ConnectionState,
    resp::parse_integer,
};

#[commands(rows = UNBLOCK, group = "connection")]
impl ConnectionState {
    /// Unblocks a client blocked by a blocking command from a different connection.
    #[command("CLIENT UNBLOCK", admin, noscript, loading, stale)]
    fn client_unblock(&self, client_id: BlockedId, unblock_type: Option<UnblockType>) -> i64 {
        let client = u64::try_from(client_id.0).ok().and_then(|id| self.server.clients.get(id));
        let error = matches!(unblock_type, Some(UnblockType::Error)).then_some(UNBLOCKED);
        client.is_some_and(|client| client.unblock(error.as_ref())).into()
    }
}

const UNBLOCKED: Error = Error::from_static("UNBLOCKED client unblocked via CLIENT UNBLOCK");
const UNKNOWN_TYPE: Error = Error::from_static("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");

/// The ID of a client that may be blocked.
struct BlockedId(i64);

impl<'a> FromArg<'a> for BlockedId {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Integer);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        let id = args.take()?;
        // As in Redis, an error in the type takes precedence over an error in the ID.
        args.peek().map_or(Ok(UnblockType::Timeout), UnblockType::of)?;
        parse_integer(id).map(BlockedId).ok_or(Error::NOT_AN_INTEGER)
    }
}

/// The reply that the unblocked client gets.
enum UnblockType {
    /// The reply to an expired timeout.
    Timeout,
    /// The error `UNBLOCKED`.
    Error,
}

impl UnblockType {
    fn of(word: &[u8]) -> Result<Self, Error> {
        match word.to_ascii_lowercase().as_slice() {
            b"timeout" => Ok(UnblockType::Timeout),
            b"error" => Ok(UnblockType::Error),
            _ => Err(UNKNOWN_TYPE),
        }
    }
}

impl<'a> FromArg<'a> for UnblockType {
    const ARG: ArgSpec = ArgSpec::one_of(&[
        ArgSpec::new(ArgKind::PureToken).named("timeout").token("TIMEOUT"),
        ArgSpec::new(ArgKind::PureToken).named("error").token("ERROR"),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        UnblockType::of(args.take()?)
    }
}
