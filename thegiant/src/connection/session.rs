//! What the connection itself answers: the receiver of the built-in commands.

use std::sync::Arc;

use super::{Client, Shared};
use crate::command::Receiver;

/// The state of a connection that commands can see and change. The built-in commands are its
/// methods, written with the same attribute as those of any application.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) client: Client,
    /// Nothing more is read or run; what has been answered is sent.
    pub(crate) closing: bool,
}

impl Receiver for Session {
    type CommandContext = ();
}
