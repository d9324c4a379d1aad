//! Users: their rules, where these apply, and files with users.

mod enforcement;
mod file;
mod modes;
mod rules;
