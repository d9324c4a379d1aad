//! Tests the code that the macros generate.

/// `#[derive(Args)]`: descriptions and parsed values.
mod args;
/// `#[commands]`: rows and the arguments of methods.
mod commands;
