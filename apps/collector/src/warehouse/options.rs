//! The options for the warehouse.

use std::{io, path::PathBuf, sync::Arc};

use clap::Args;
use cli::{Secret, usage_error};
use thegiant_postgres::Target;

use super::{shipper::Shipper, source::Source, status::Status};
use crate::store::Store;

#[derive(Args)]
#[command(next_help_heading = "Warehouse options")]
pub(crate) struct WarehouseOptions {
    /// PostgreSQL database to copy all events to, postgres://USER@HOST/NAME [default: none]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// File with the URL of the database, for a URL with a password (the environment variable COLLECTOR_DATABASE_URL can
    /// hold the URL instead)
    #[arg(long, value_name = "FILE")]
    database_file: Option<PathBuf>,
    /// Name of this collector in the database, which no other collector has
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl WarehouseOptions {
    /// Starts to ship the events of a store, if there is a database.
    ///
    /// # Errors
    /// Returns an error if the options are wrong, or if the database refuses the collector. That the database cannot be
    /// reached is no error.
    pub(crate) fn start(&self, store: &Store) -> io::Result<Option<Arc<Status>>> {
        let secret = Secret {
            option: "--database",
            value: self.database.as_deref(),
            file: self.database_file.as_deref(),
            variable: "COLLECTOR_DATABASE_URL",
        };
        let (url, name) = match (secret.read()?, &self.name) {
            (Some(url), Some(name)) if !name.is_empty() => (url, name.clone()),
            (Some(_), _) => {
                return Err(usage_error(
                    "--database needs --name: write the name of this collector, which no other collector has",
                ));
            }
            (None, Some(_)) => {
                return Err(usage_error(
                    "--name needs --database: write the URL of the database, or leave --name out",
                ));
            }
            (None, None) => return Ok(None),
        };
        if !thegiant_postgres::is_url(&url) {
            return Err(usage_error("--database: expected postgres://USER@HOST/NAME"));
        }
        let target =
            Target::parse(&url, "collector").map_err(|error| usage_error(format!("--database: {error}")))?;
        let source = Source::open(store.path()).map_err(io::Error::other)?;
        let folder = store.folder_id().map_err(io::Error::other)?;
        let status = Arc::new(Status::default());
        Shipper::new(target, name, folder, source, Arc::clone(&status)).start()?;
        Ok(Some(status))
    }
}
