//! Sends all requests to the master.

use std::rc::Rc;

use thegiant::{
    Error,
    proxy::{ErrorReply, Redirect, Refresh, Route, Router, Servers, Upstream, UpstreamRequest},
};

use super::watch::{MasterState, SentinelWatch};

/// The router for the master that Redis Sentinel names.
///
/// Its proxy needs no upstream at the start, but a [template](thegiant::proxy::Proxy::template).
#[derive(Debug)]
pub struct Master {
    /// The number of the master.
    master: Option<usize>,
    /// The number of the server that may be the next master.
    candidate: Option<usize>,
    state: Rc<MasterState>,
}

/// The codes of the errors with which a server that is not a master replies. It has not run the request.
const NOT_A_MASTER: [&str; 2] = ["READONLY", "MASTERDOWN"];

const NO_MASTER: Error =
    Error::from_static("UPSTREAMDOWN no sentinel has named a master: the command was not sent");

impl Master {
    /// Creates a router, and the task that must [run](SentinelWatch::run) to learn the master with this name.
    pub fn new(name: &str, sentinels: Vec<Upstream>) -> (Self, SentinelWatch) {
        let state = Rc::new(MasterState::default());
        let watch = SentinelWatch::new(name.to_owned(), sentinels, Rc::clone(&state));
        (Master { master: None, candidate: None, state }, watch)
    }
}

impl Router for Master {
    fn route(&mut self, request: &UpstreamRequest<'_>, _: &mut Servers) -> Route {
        // The balancer itself asks the candidate for its role.
        let is_question = request.client().is_none() && request.is("ROLE");
        let server = if is_question { self.candidate.or(self.master) } else { self.master };
        server.map_or_else(|| NO_MASTER.into(), Route::To)
    }

    fn update(&mut self, servers: &mut Servers) {
        let (master, candidate) = (self.state.master.borrow(), self.state.candidate.borrow());
        self.master = master.as_deref().map(|address| servers.find_or_add(address));
        self.candidate = candidate.as_deref().map(|address| servers.find_or_add(address));
        servers.retain(|known| [&master, &candidate].iter().any(|address| address.as_deref() == Some(known)));
    }

    fn redirect(&mut self, error: &ErrorReply<'_>, _: &mut Servers) -> Option<Redirect> {
        let server = self.master.filter(|master| is_of_no_master(error) && *master != error.server())?;
        Some(Redirect { server, asking: false })
    }

    fn refresh(&mut self, error: &ErrorReply<'_>) -> Option<Refresh> {
        is_of_no_master(error).then(|| self.state.inquiry.refresh())
    }
}

fn is_of_no_master(error: &ErrorReply<'_>) -> bool {
    error.text().split_once(' ').is_some_and(|(code, _)| NOT_A_MASTER.contains(&code))
}
