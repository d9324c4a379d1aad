//! Users, and the rules that say what they may do (ACL of Redis 7.0).
//!
//! It is data: it knows no connection. [`Catalog`] has the commands that rules can name, [`User`] the rules of a user,
//! [`Users`] all users, and [`AclLog`] the refused requests.

mod access;
mod catalog;
mod categories;
mod command_rules;
mod control;
mod describe;
mod failed_logins;
mod file;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod log;
mod password;
mod pattern;
mod request;
mod row_rules;
mod rule_error;
#[cfg(test)]
mod sample;
mod selector;
#[cfg(test)]
mod tests;
mod upstream;
mod user;
mod users;

pub(crate) use access::{Access, AccessedCommand, Denied};
pub(crate) use catalog::{Catalog, help_of};
pub(crate) use categories::{Categories, CategoryNames};
pub(crate) use control::{AccessControl, DelayedLogin, LocalLogin, UserConfig};
pub(crate) use log::{AclLog, LogContext, LogEntry, LogReason, Refusal};
pub(crate) use password::{PasswordHash, without_password};
pub(crate) use rule_error::RuleError;
pub(crate) use selector::{ChannelRules, KeyRules, Selector};
pub(crate) use upstream::{Described, UpstreamCommand, UpstreamCommands};
pub(crate) use user::User;
pub(crate) use users::Users;
