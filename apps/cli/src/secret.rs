//! Secrets that stay out of the process list.

use std::{
    env, fs,
    io::{self, ErrorKind},
    path::Path,
};

/// The places that a password, or another secret, can come from. At most one of them may be used.
#[derive(Clone, Copy)]
pub struct Secret<'a> {
    /// Name of the option for the secret itself, such as `--password`. The option for its file is `--password-file`.
    pub option: &'a str,
    /// Value of that option. Every user of the machine can read it in the process list.
    pub value: Option<&'a str>,
    /// File that has the secret and nothing else, except for a newline at its end.
    pub file: Option<&'a Path>,
    /// Name of the environment variable.
    pub variable: &'a str,
}

impl Secret<'_> {
    /// Returns the secret, if there is one.
    ///
    /// # Errors
    /// If it is in two places, is empty, or cannot be read. The message says where, and does not have the secret.
    pub fn read(&self) -> io::Result<Option<String>> {
        let Secret { option, value, file, variable } = *self;
        let (place, secret) = match (value, file, env::var_os(variable)) {
            (None, None, None) => return Ok(None),
            (Some(value), None, None) => (option.to_owned(), value.to_owned()),
            (None, Some(path), None) => {
                let place = format!("{option}-file {}", path.display());
                let secret = read(path)
                    .map_err(|error| io::Error::new(readable(error.kind()), format!("{place}: {error}")))?;
                (place, secret)
            }
            (None, None, Some(value)) => {
                (variable.to_owned(), value.into_string().map_err(|_| wrong(variable, "is not UTF-8"))?)
            }
            _ => {
                return Err(wrong(
                    option,
                    &format!("is given twice: use one of {option}, {option}-file and {variable}"),
                ));
            }
        };
        // A server without a password would be the result.
        if secret.is_empty() { Err(wrong(&place, "is empty")) } else { Ok(Some(secret)) }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = fs::read_to_string(path)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// A file that cannot be read is not a mistake in the command line.
fn readable(kind: ErrorKind) -> ErrorKind {
    if kind == ErrorKind::InvalidInput { ErrorKind::Other } else { kind }
}

fn wrong(place: &str, reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, format!("{place} {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_end_with_one_newline() {
        let path = env::temp_dir().join(format!("secret-{}", std::process::id()));
        for (text, secret) in [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("\na", "\na")]
        {
            fs::write(&path, text).expect("a temporary file");
            assert_eq!(read(&path).expect("text"), secret, "{text:?}");
        }
        fs::remove_file(&path).expect("it is there");
    }
}
