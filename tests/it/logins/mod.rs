//! Logins that are not decided at once.

mod guessing;
mod identities;
mod tokens;
