//! Where keys are.

use thegiant::upstream::{Redirect, Refresh, Request, Route, Servers};

/// Knows where keys are.
pub trait Spread: 'static {
    /// The server of a key; if it is only read, that may be a replica.
    fn server_of(&mut self, key: &[u8], is_read: bool, servers: &mut Servers) -> usize;

    /// Keys of one server can be in one request if they are of the same group.
    fn group_of(&self, key: &[u8]) -> u16 {
        let _ = key;
        0
    }

    /// All servers that have keys.
    fn all(&mut self, servers: &mut Servers) -> Vec<usize>;

    /// Where a request goes that any server can answer.
    fn any(&mut self, request: &Request<'_>, servers: &mut Servers) -> Route {
        let _ = (request, servers);
        Route::Any
    }

    /// Where channels are.
    fn channels(&mut self, request: &Request<'_>, servers: &mut Servers) -> Route;

    /// A request that is not for everybody: what it is told.
    fn refuse(&self, request: &Request<'_>) -> Option<thegiant::Error> {
        let _ = request;
        None
    }

    /// Where a request has to go that has been answered by an error.
    fn redirect(&mut self, error: &str, servers: &mut Servers) -> Option<Redirect> {
        let _ = (error, servers);
        None
    }

    /// Asks again where keys are, if that may turn this error into a redirect.
    fn refresh(&mut self, error: &str) -> Option<Refresh> {
        let _ = error;
        None
    }
}
