//! Runs `balancer` while its servers fail.
//!
//! Five hundred clients check that each reply is their own, that no acknowledged write is lost that the servers still
//! have, that errors come only during a fault, and that everyone is served again after it.
//!
//! - `run`: starts everything, brings faults about, and reports
//! - `setting`: what all settings have in common; `servers`, `cluster`, `sentinel`: the settings
//! - `course`: the state that all threads share
//! - `client`: most of the clients; `values`: their keys; `queue`, `channel`: the other clients
//! - `redis`, `link`: a redis-server, a connection

mod channel;
mod client;
mod cluster;
mod course;
mod link;
mod queue;
mod redis;
mod run;
mod sentinel;
mod servers;
mod setting;
mod values;

pub(crate) use run::run;
