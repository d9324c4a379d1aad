//! The commands of the server.

mod counters;

use counters::Counters;
use thegiant::prelude::*;

/// Returns the application: all commands, and the actors that run them.
///
/// An actor runs one command at a time. Add another actor with `.mount(Another::default().start())`.
pub fn app() -> App {
    App::new().mount(Counters::default().start())
}
