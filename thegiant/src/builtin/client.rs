//! `CLIENT`: what a connection says of itself.

use super::connection::{client_name, printable};
use crate::{Args, Error, commands, connection::Session};

#[commands(rows = CLIENT, group = "connection")]
impl Session {
    /// Returns the ID of the current connection.
    #[command("CLIENT ID", noscript, loading, stale)]
    fn client_id(&self) -> u64 {
        self.client.id()
    }

    /// Returns the name of the current connection.
    #[command("CLIENT GETNAME", noscript, loading, stale)]
    fn client_getname(&self) -> Option<String> {
        self.client.name()
    }

    /// Assigns a name to the current connection.
    #[command("CLIENT SETNAME", noscript, loading, stale)]
    fn client_setname(&mut self, connection_name: &[u8]) -> Result<(), Error> {
        self.client.set_name(client_name(connection_name)?);
        Ok(())
    }

    /// Notes which library the client uses.
    #[command("CLIENT SETINFO", noscript, loading, stale)]
    fn client_setinfo(&mut self, attribute: LibraryAttribute<'_>) -> Result<(), Error> {
        match attribute {
            LibraryAttribute::Name(name) => self.client.set_library(attribute_text("lib-name", name)?),
            LibraryAttribute::Version(version) => {
                self.client.set_library_version(attribute_text("lib-ver", version)?);
            }
        }
        Ok(())
    }
}

#[derive(Args)]
enum LibraryAttribute<'a> {
    #[arg("LIB-NAME", name = "libname")]
    Name(&'a [u8]),
    #[arg("LIB-VER", name = "libver")]
    Version(&'a [u8]),
}

fn attribute_text<'a>(attribute: &str, text: &'a [u8]) -> Result<&'a str, Error> {
    printable(text).ok_or_else(|| {
        Error::err(format_args!("{attribute} cannot contain spaces, newlines or special characters."))
    })
}
