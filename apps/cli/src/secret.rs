//! Reads secrets that must stay out of the process list.

use std::{
    env, fs,
    io::{self, ErrorKind},
    path::Path,
};

use crate::usage_error;

/// The possible sources of a secret. At most one of them may be set.
#[derive(Clone, Copy)]
pub struct Secret<'a> {
    /// Name of the option that holds the secret, such as `--password`. The file option adds `-file` to this
    /// name.
    pub option: &'a str,
    /// Value of that option. Every user of the machine can read it in the process list.
    pub value: Option<&'a str>,
    /// Path of the file that contains only the secret. A newline at its end is ignored.
    pub file: Option<&'a Path>,
    /// Name of the environment variable that holds the secret.
    pub variable: &'a str,
}

impl Secret<'_> {
    /// Returns the secret, or `None` if no source is set.
    ///
    /// # Errors
    /// Returns an error if two sources are set, or if the secret is empty or cannot be read. The message
    /// names the source and never contains the secret.
    pub fn read(&self) -> io::Result<Option<String>> {
        let Secret { option, value, file, variable } = *self;
        let (source, secret) = match (value, file, env::var_os(variable)) {
            (None, None, None) => return Ok(None),
            (Some(value), None, None) => (option.to_owned(), value.to_owned()),
            (None, Some(path), None) => {
                let source = format!("{option}-file {}", path.display());
                let secret = read_file(path).map_err(|error| {
                    io::Error::new(not_a_usage_error(error.kind()), format!("{source}: {error}"))
                })?;
                (source, secret)
            }
            (None, None, Some(value)) => (
                variable.to_owned(),
                value.into_string().map_err(|_| usage_error(format!("{variable} is not UTF-8")))?,
            ),
            _ => {
                return Err(usage_error(format!(
                    "{option} is given twice: use one of {option}, {option}-file and {variable}"
                )));
            }
        };
        // An empty password would leave the server without a password.
        if secret.is_empty() { Err(usage_error(format!("{source} is empty"))) } else { Ok(Some(secret)) }
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = fs::read_to_string(path)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Maps `InvalidInput` to `Other`: an unreadable file is not a mistake in the command line.
fn not_a_usage_error(kind: ErrorKind) -> ErrorKind {
    if kind == ErrorKind::InvalidInput { ErrorKind::Other } else { kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_at_the_end_of_a_file_is_ignored() {
        let path = env::temp_dir().join(format!("secret-{}", std::process::id()));
        for (text, secret) in [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("\na", "\na")]
        {
            fs::write(&path, text).expect("write the temporary file");
            assert_eq!(read_file(&path).expect("read the secret"), secret, "{text:?}");
        }
        fs::remove_file(&path).expect("remove the temporary file");
    }
}
