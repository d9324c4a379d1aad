//! Runs `balancer` while its servers fail.
//!
//! Five hundred clients check that each reply is their own, that no acknowledged write is lost that the servers still
//! have, that errors come only during a fault, and that everyone is served again after it.
//!
//! - `run`: starts everything, brings faults about, and reports
//! - `setting`: what all settings have in common; `servers`, `cluster`, `sentinel`: the settings
//! - `course`: the state that all threads share
//! - `client`: most of the clients; `values`: their keys; `queue`, `channel`: the other clients
//! - `transactions`: a part of `client`; `replies`: checks of replies
//! - `redis`, `link`: a redis-server, a connection

mod channel;
mod client;
mod cluster;
mod course;
mod link;
mod queue;
mod redis;
mod replies;
mod run;
mod sentinel;
mod servers;
mod setting;
mod transactions;
mod values;

pub(crate) use run::run;
