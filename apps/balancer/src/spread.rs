//! The interface that maps keys to servers.

use thegiant::proxy::{ErrorReply, Redirect, Refresh, Route, Servers, UpstreamRequest};

/// Maps keys to servers.
pub trait Spread: 'static {
    /// Returns the server of a key. For a read it may return a replica.
    fn server_of(&mut self, key: &[u8], is_read: bool, servers: &mut Servers) -> usize;

    /// Returns the group of a key. Keys of one server can share a request only if their groups are equal.
    fn group_of(&self, key: &[u8]) -> u16 {
        let _ = key;
        0
    }

    /// Returns all servers that hold keys.
    fn all(&mut self, servers: &mut Servers) -> Vec<usize>;

    /// Returns the route of a request that any server can answer.
    fn any(&mut self, request: &UpstreamRequest<'_>, servers: &mut Servers) -> Route {
        let _ = (request, servers);
        Route::Any
    }

    /// Returns the servers that publish messages of their own, and that are up.
    fn publishers(&mut self, servers: &mut Servers) -> Vec<usize>;

    /// Returns whether the servers forward the messages of `PUBLISH` to each other. Otherwise, `PUBLISH` goes to the first
    /// publisher.
    fn forwards_messages(&self) -> bool {
        false
    }

    /// Returns an error if clients may not send this request.
    fn refuse(&self, request: &UpstreamRequest<'_>) -> Option<thegiant::Error> {
        let _ = request;
        None
    }

    /// Returns the server to which a request is sent again after this error reply.
    fn redirect(&mut self, error: &ErrorReply<'_>, servers: &mut Servers) -> Option<Redirect> {
        let _ = (error, servers);
        None
    }

    /// Asks again where keys are, if that may turn this error into a redirect.
    fn refresh(&mut self, error: &ErrorReply<'_>) -> Option<Refresh> {
        let _ = error;
        None
    }
}
