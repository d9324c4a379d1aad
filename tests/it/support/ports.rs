//! Ports for servers that cannot listen on port 0.

use std::net::TcpListener;

use super::ANY_PORT;

const ATTEMPTS: usize = 20;

/// Calls `start` with free ports until it returns something.
///
/// Another process can take a port before the server binds it: then `start` returns `None`.
pub(crate) fn on_free_ports<const N: usize, T>(start: impl FnMut([String; N]) -> Option<T>) -> T {
    let started = (0..ATTEMPTS).map(|_| free_ports()).find_map(start);
    started.expect("a server can bind one of the ports that were free")
}

/// Returns different ports that were free a moment ago.
fn free_ports<const N: usize>() -> [String; N] {
    let listeners = [(); N].map(|()| TcpListener::bind(ANY_PORT).expect("a free port"));
    listeners.each_ref().map(|listener| listener.local_addr().expect("it is bound").port().to_string())
}
