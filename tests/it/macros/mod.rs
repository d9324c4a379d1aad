//! Tests the code that the macros generate.

/// `#[derive(Args)]`: descriptions and parsed values.
mod args;
/// `#[commands]`: rows and the arguments of methods.
mod commands;
/// The documentation and the reply of a command.
mod docs;
/// `#[arg(flatten)]` and `#[arg(rest)]`: options of another struct, and positional arguments behind options.
mod flatten;
/// `#[derive(FromArg)]`: checked and converted values, and words.
mod from_arg;
/// `#[derive(Reply)]`: maps, arrays and words.
mod reply;
