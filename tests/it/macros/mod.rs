//! What the attributes make of a signature.

/// `#[derive(Args)]`: what is described, and what is read.
mod args;
/// `#[commands]`: rows, and what reaches a method.
mod commands;
