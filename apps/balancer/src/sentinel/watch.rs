//! Asks the sentinels for the master, and listens to them.

use std::{cell::RefCell, future::Future, rc::Rc, time::Duration};

use thegiant::{
    Error, Value,
    proxy::{CallError, Subscription, Upstream, UpstreamHandle},
};
use tokio::time;

use crate::{
    address::address,
    inquiry::{AT_MOST_EVERY, Inquiry},
};

/// The state that the router shares with the task that asks the sentinels.
#[derive(Debug, Default)]
pub(super) struct MasterState {
    /// The address of the master.
    pub(super) master: RefCell<Option<String>>,
    /// The address of a server that a sentinel has named, and that has not said yet that it is a master.
    pub(super) candidate: RefCell<Option<String>>,
    pub(super) inquiry: Inquiry,
}

/// Asks the sentinels for the address of the master periodically, and when one of them reports a change.
#[derive(Debug)]
pub struct SentinelWatch {
    /// The name of the master.
    name: String,
    sentinels: Vec<Upstream>,
    /// The proxies for the sentinels, one for each, once they have been started.
    handles: Vec<UpstreamHandle>,
    /// The index of the sentinel that answered last. The watch asks it first.
    first: usize,
    /// The log says that no sentinel names a master.
    is_logged: bool,
    state: Rc<MasterState>,
}

/// The channel on which a sentinel reports that another server is the master now.
const CHANGES: &str = "+switch-master";

/// Interval between two questions.
const EVERY: Duration = Duration::from_secs(1);

/// The time that a sentinel, or a candidate, has for its reply.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Number of attempts to find the master before clients are served.
const ATTEMPTS: usize = 10;

impl SentinelWatch {
    pub(super) fn new(name: String, sentinels: Vec<Upstream>, state: Rc<MasterState>) -> Self {
        SentinelWatch { name, sentinels, handles: Vec::new(), first: 0, is_logged: false, state }
    }

    /// Connects to the sentinels. Asks them for the master until there is an answer, at most ten times.
    pub async fn begin(&mut self, proxy: &UpstreamHandle) {
        let connect = |sentinel: Upstream| sentinel.connect_timeout(TIMEOUT).reply_timeout(TIMEOUT).start();
        self.handles.extend(self.sentinels.drain(..).map(connect));
        for _ in 0..ATTEMPTS {
            self.ask_and_log(proxy).await;
            if self.state.master.borrow().is_some() {
                break;
            }
            time::sleep(AT_MOST_EVERY).await;
        }
    }

    /// Asks for the master periodically, when a sentinel reports a change, and after each error reply of a server that is
    /// not a master. It never returns.
    pub async fn run(mut self, proxy: UpstreamHandle) {
        for sentinel in &self.handles {
            tokio::task::spawn_local(listen(sentinel.subscribe([CHANGES]), Rc::clone(&self.state)));
        }
        loop {
            let state = Rc::clone(&self.state);
            state.inquiry.next(EVERY).await;
            self.ask_and_log(&proxy).await;
        }
    }

    async fn ask_and_log(&mut self, proxy: &UpstreamHandle) {
        match self.ask(proxy).await {
            Ok(()) => self.is_logged = false,
            Err(_) if self.is_logged => {}
            Err(error) => {
                self.is_logged = true;
                tracing::warn!(name = self.name, %error, "no sentinel names a master");
            }
        }
    }

    /// Asks one sentinel after the other for the master.
    ///
    /// The first answer counts. But if something is wrong with the master, another sentinel may know a newer one.
    async fn ask(&mut self, proxy: &UpstreamHandle) -> Result<(), Error> {
        // Wakes the waiting requests at the end.
        let waiting = self.state.inquiry.take_waiting();
        let is_well = waiting.is_empty() && proxy.is_connected();
        let mut result = Err(Error::err("there is no sentinel"));
        for index in (self.first..self.handles.len()).chain(0..self.first) {
            let answer = match self.named_by(&self.handles[index]).await {
                Ok(address) if self.state.master.borrow().as_ref() == Some(&address) => Ok(is_well),
                Ok(address) => self.check_role(&address, proxy).await.map(|()| true),
                Err(error) => Err(error),
            };
            if let Ok(true) = answer {
                self.first = index;
                return Ok(());
            }
            result = result.or(answer.map(drop));
        }
        result
    }

    /// Returns the address of the master that a sentinel names.
    async fn named_by(&self, sentinel: &UpstreamHandle) -> Result<String, Error> {
        let reply = in_time(sentinel.call(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &self.name])).await?;
        let named = match reply.as_array() {
            Some([host, port]) => host.as_str().zip(port.as_str()),
            _ => None,
        };
        let address = named.and_then(|(host, port)| address(host, port, ""));
        address.ok_or_else(|| Error::err(format_args!("a sentinel does not know {:?}", self.name)))
    }

    /// Uses the server at this address if it says that it is a master.
    async fn check_role(&self, address: &str, proxy: &UpstreamHandle) -> Result<(), Error> {
        self.state.candidate.replace(Some(address.to_owned()));
        proxy.update().await;
        let role = in_time(proxy.call(["ROLE"])).await;
        self.state.candidate.replace(None);
        let name = |role: Value| role.as_array()?.first()?.as_str().map(str::to_owned);
        let checked = match role.map(name) {
            Ok(Some(role)) if role == "master" => Ok(()),
            Ok(_) => Err(Error::err(format_args!("{address} says that it is not a master"))),
            Err(error) => Err(error),
        };
        if checked.is_ok() {
            tracing::info!(name = self.name, address, "a sentinel has named the master");
            self.state.master.replace(Some(address.to_owned()));
        }
        proxy.update().await;
        checked
    }
}

/// Asks for the master after each change that a sentinel reports.
///
/// The report may be of another master, or be missing: the answer to the question counts.
async fn listen(mut changes: Subscription, state: Rc<MasterState>) {
    while changes.next().await.is_some() {
        state.inquiry.hurry();
    }
}

/// Waits for a reply.
async fn in_time(call: impl Future<Output = Result<Value, CallError>>) -> Result<Value, Error> {
    match time::timeout(TIMEOUT, call).await {
        Ok(reply) => Ok(reply?),
        Err(_) => Err(Error::err("the reply has not come in time")),
    }
}
