//! Logins that are not decided at once.

mod directory;
mod guessing;
mod identities;
mod tokens;
