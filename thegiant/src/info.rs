//! Sections and fields of `INFO`.

use std::fmt::{self, Display, Write};

/// A section of `INFO` that an application adds: see [`App::info`](crate::App::info).
pub(crate) struct InfoSection {
    pub(crate) name: String,
    fields: Box<dyn Fn(&mut InfoFields) + Send + Sync>,
}

impl InfoSection {
    pub(crate) fn new(name: &str, fields: impl Fn(&mut InfoFields) + Send + Sync + 'static) -> Self {
        InfoSection { name: name.to_owned(), fields: Box::new(fields) }
    }

    /// Adds the current fields.
    pub(crate) fn add_to(&self, fields: &mut InfoFields) {
        (self.fields)(fields);
    }
}

impl fmt::Debug for InfoSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InfoSection").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The fields of a section of `INFO`; see [`App::info`](crate::App::info).
#[derive(Debug, Default)]
pub struct InfoFields(String);

impl InfoFields {
    /// Adds a line `name:value`. Line breaks become spaces: a field has one line. A colon in the name becomes `_`, because clients
    /// take all behind the first one for the value.
    pub fn field(&mut self, name: &str, value: impl Display) {
        let start = self.0.len();
        self.0.extend(name.chars().map(|char| if char == ':' { '_' } else { char }));
        // Writing to a `String` cannot fail.
        let _ = write!(self.0, ":{value}");
        if self.0[start..].contains(['\r', '\n']) {
            let line = self.0[start..].replace(['\r', '\n'], " ");
            self.0.truncate(start);
            self.0.push_str(&line);
        }
        self.0.push_str("\r\n");
    }

    /// Returns the lines as text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}
