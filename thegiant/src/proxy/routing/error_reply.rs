//! The error reply that a router sees.

/// An error reply of an upstream, which a [`Router`](crate::proxy::Router) may be able to turn into a redirect.
///
/// ```
/// use thegiant::proxy::ErrorReply;
///
/// let error = ErrorReply::new("MOVED 866 10.0.0.7:6379", 0);
/// assert_eq!(error.text().split(' ').next(), Some("MOVED"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ErrorReply<'a> {
    text: &'a str,
    server: usize,
}

impl<'a> ErrorReply<'a> {
    /// Creates the error reply of a server, for tests of a router.
    pub fn new(text: &'a str, server: usize) -> Self {
        ErrorReply { text, server }
    }

    /// Returns the code and the message.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Returns the number of the server that replied.
    pub fn server(&self) -> usize {
        self.server
    }
}
