//! Users: their rules, where these apply, and files with users.

mod blocked;
mod enforcement;
mod file;
mod modes;
mod rules;
mod undescribed;
