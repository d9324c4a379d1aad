//! The commands that the toolkit answers itself, one file a family. They are rows like any others:
//! an application can replace or remove each of them.

mod client;
mod command;
mod config;
mod connection;
mod info;

use crate::{
    command::{Commands, Row},
    connection::Session,
};

/// The version of Redis whose replies, errors and limits these are.
const REDIS_VERSION: &str = "7.0.15";

impl Commands for Session {
    const ROWS: &'static [&'static [Row<Self>]] =
        &[Self::CONNECTION, Self::CLIENT, Self::COMMAND, Self::CONFIG, Self::INFO];
}
