//! Command pages and clients for other languages, from the rows of the commands.
//!
//! [`markdown`] writes a page with all commands of a server, and [`python`] a module with a typed client. Both take the
//! descriptions of the commands, of one actor or of a whole application:
//!
//! ```
//! use thegiant::{command::Commands, docs, prelude::*};
//!
//! struct Counters;
//!
//! impl Actor for Counters {
//!     type Context = Context<Self>;
//! }
//!
//! #[commands]
//! impl Counters {
//!     /// Adds to a counter and returns its new value.
//!     ///
//!     /// # Arguments
//!     /// - `by` the increment; 1 if it is left out
//!     #[command("COUNT", write)]
//!     fn count(&mut self, name: Key, by: Option<i64>) -> i64 {
//!         by.unwrap_or(1)
//!     }
//! }
//!
//! let page = docs::markdown("Counters", Counters::specs());
//! assert!(page.contains("| `by` | integer, optional | the increment; 1 if it is left out |"));
//! let module = docs::python("Counters", Counters::specs());
//! assert!(module.contains("def count(self, name: str | bytes, by: int | None = None) -> int:"));
//! ```
//!
//! A test writes the files and fails if they are not current, for example if the variable `OVERWRITE` is set:
//!
//! ```no_run
//! # let page = String::new();
//! let path = concat!(env!("CARGO_MANIFEST_DIR"), "/COMMANDS.md");
//! if std::env::var_os("OVERWRITE").is_some() {
//!     std::fs::write(path, &page).unwrap();
//! }
//! assert_eq!(std::fs::read_to_string(path).unwrap(), page);
//! ```

mod markdown;
mod python;
mod python_types;

pub use markdown::markdown;
pub use python::python;
