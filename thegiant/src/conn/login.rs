//! The part of a connection that logs its client in.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix::MailboxError;
use actix_rt::time::{Sleep, sleep, timeout};
use bytes::Bytes;

use super::{
    Connection, ConnectionState,
    connection::{Next, Stage},
    read::ReadAhead,
};
use crate::{
    Error, Identity,
    acl::{AccessControl, DelayedLogin, LocalLogin, LogReason, User},
    batch::Batch,
    client::{ClientFlag, CloseRequest, SHUTTING_DOWN, TIMED_OUT},
    command::Request,
    identity::Authenticate,
    observe::Hook,
    server_state::NO_TENANTS_IN_CLUSTER,
    settings::Setting,
};

/// A login that cannot be decided at once.
///
/// Meanwhile, the command that logs in is the next one of its batch again. It runs anew when the login has come further.
pub(super) enum Login {
    /// The password is checked at the end of a delay, since logins from the same address have failed.
    Delayed {
        delay: Pin<Box<Sleep>>,
        _turn: DelayedLogin,
    },
    /// The actor of the application decides.
    Asking(Pin<Box<dyn Future<Output = LoginOutcome>>>),
    Decided(LoginOutcome),
}

/// The outcome of a login.
pub(super) enum LoginOutcome {
    /// The client is the user of the server with this name. The identity may set the key prefix.
    Local(Arc<[u8]>, Option<Bytes>),
    /// The client is a user of its own.
    Own(Box<User>, Option<Bytes>),
    /// The password is wrong.
    Refused(Error),
    /// Nobody knows whether the password is right.
    Failed(Error),
}

const CANNOT_WAIT: Login = Login::Decided(LoginOutcome::Failed(Error::from_static(
    "ERR this login has to wait, which it cannot do in a transaction or behind another login: send AUTH alone",
)));

/// The queued requests have the key prefix of the user so far.
const OTHER_KEYS_IN_TRANSACTION: Error = Error::from_static(
    "ERR a user with other keys cannot log in inside a transaction: send AUTH before MULTI",
);

impl Login {
    /// Returns `Ready` when the command should run again.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        match self {
            Login::Delayed { delay, .. } => delay.as_mut().poll(cx),
            Login::Asking(answer) => {
                answer.as_mut().poll(cx).map(|decision| *self = Login::Decided(decision))
            }
            Login::Decided(_) => Poll::Ready(()),
        }
    }
}

impl ConnectionState {
    /// Makes the client one of this user if the password is correct.
    ///
    /// If the login takes time, it returns an error that no client sees: the connection waits, and runs the command again. Only the
    /// first login of a command can wait.
    pub(crate) fn log_in(
        &mut self,
        name: &[u8],
        password: &[u8],
        request: &Request<'_>,
        is_first: bool,
    ) -> Result<(), Error> {
        // A transaction does not wait, because it may hold the queue of an actor.
        let can_wait = is_first && !self.transaction.is_running();
        let login = match self.login.take().map(|login| *login) {
            None => self.begin_login(name, password, can_wait)?,
            Some(Login::Delayed { delay, .. }) if delay.is_elapsed() => {
                self.check_password(name, password, can_wait)
            }
            Some(login) => login,
        };
        let Login::Decided(decision) = login else {
            self.login = Some(Box::new(login));
            return Err(Error::INTERNAL);
        };
        self.client.set(ClientFlag::Paused, false);
        match decision {
            LoginOutcome::Local(user, prefix) => {
                let prefix = self.key_prefix_of(&user, prefix)?;
                self.client.detach::<User>();
                self.set_user(Some(user), prefix);
            }
            LoginOutcome::Own(user, prefix) => {
                let prefix = self.key_prefix_of(&user.name, prefix)?;
                let name = Arc::from(&*user.name);
                self.client.attach::<User>(*user);
                self.set_user(Some(name), prefix);
            }
            LoginOutcome::Refused(error) => {
                self.server.acl.add_failed_login(self.client.addr());
                self.log_refusal(LogReason::Auth, request.name(), name);
                return Err(error);
            }
            LoginOutcome::Failed(error) => return Err(error),
        }
        self.set_authenticated(true);
        Ok(())
    }

    /// Returns the key prefix of a user, which its identity or else the server decides.
    fn key_prefix_of(&self, user: &[u8], of_identity: Option<Bytes>) -> Result<Bytes, Error> {
        let prefix = match of_identity {
            Some(prefix) => prefix,
            None => self.server.tenants.prefix_of(user)?,
        };
        if prefix != self.key_prefix && self.transaction.is_running() {
            return Err(OTHER_KEYS_IN_TRANSACTION);
        }
        if !prefix.is_empty() {
            if self.server.hooks.is(Hook::Cluster) {
                return Err(Error::internal(NO_TENANTS_IN_CLUSTER));
            }
            self.server.hooks.set(Hook::Tenants, true);
        }
        Ok(prefix)
    }

    fn begin_login(&self, name: &[u8], password: &[u8], can_wait: bool) -> Result<Login, Error> {
        let delayed = AccessControl::delay_login(&self.server.acl, self.client.addr())?;
        Ok(match delayed {
            Some(_) if !can_wait => CANNOT_WAIT,
            Some((time, turn)) => Login::Delayed { delay: Box::pin(sleep(time)), _turn: turn },
            None => self.check_password(name, password, can_wait),
        })
    }

    /// Compares the password, or asks the actor of the application.
    fn check_password(&self, name: &[u8], password: &[u8], can_wait: bool) -> Login {
        match self.server.acl.authenticate(name, password) {
            LocalLogin::Accepted(user) => Login::Decided(LoginOutcome::Local(user, None)),
            LocalLogin::Unknown => self.ask(name, password, can_wait),
            LocalLogin::Refused => Login::Decided(LoginOutcome::Refused(Error::WRONG_PASSWORD)),
        }
    }

    /// Asks the actor of the application, if there is one.
    fn ask(&self, name: &[u8], password: &[u8], can_wait: bool) -> Login {
        let (Some(authenticator), Ok(user)) = (&self.server.authenticator, std::str::from_utf8(name)) else {
            return Login::Decided(LoginOutcome::Refused(Error::WRONG_PASSWORD));
        };
        if !can_wait {
            return CANNOT_WAIT;
        }
        let message = Authenticate::new(user.to_owned(), password, self.client.clone());
        let (answer, acl) = (authenticator.send(message), Arc::clone(&self.server.acl));
        let limit = self.server.settings.time(Setting::ReplyTimeout).unwrap_or(Duration::MAX);
        Login::Asking(Box::pin(async move {
            match timeout(limit, answer).await {
                Ok(answer) => decide(answer, &acl),
                Err(_) => LoginOutcome::Failed(TIMED_OUT),
            }
        }))
    }
}

/// Returns the decision for an answer of the actor.
fn decide(answer: Result<Result<Identity, Error>, MailboxError>, acl: &AccessControl) -> LoginOutcome {
    let identity = match answer {
        Ok(Ok(identity)) => identity,
        Ok(Err(error)) if error.is_internal() => return LoginOutcome::Failed(error),
        Ok(Err(error)) => return LoginOutcome::Refused(error),
        Err(error) => return failed(format!("the actor that authenticates has ended: {error}")),
    };
    let Identity { name, rules, key_prefix } = identity;
    let Some(rules) = rules else {
        return match acl.user(name.as_bytes()) {
            Some(user) if user.is_on => LoginOutcome::Local(name.into_bytes().into(), key_prefix),
            Some(_) => LoginOutcome::Refused(Error::WRONG_PASSWORD),
            None => failed(format!("the identity names the user `{name}`, which does not exist")),
        };
    };
    match acl.own_user(&name, &rules) {
        Ok(user) => LoginOutcome::Own(Box::new(user), key_prefix),
        Err(mistake) => failed(format!("the identity `{name}` has a mistake: {mistake}")),
    }
}

fn failed(reason: String) -> LoginOutcome {
    LoginOutcome::Failed(Error::internal(reason))
}

impl Connection {
    /// Waits until the login of the next request has come further. Replies to earlier requests are sent first.
    #[cold]
    pub(super) fn wait_for_login(&mut self, batch: Box<Batch>, cx: &mut TaskContext<'_>) -> io::Result<Next> {
        self.state.replies = batch.out.mode();
        if !batch.out.encoder().is_empty() {
            return Ok(Stage::Writing(batch).into());
        }
        let Some(login) = &mut self.state.login else { return Ok(Stage::Running(batch).into()) };
        if self.client.close_request() == CloseRequest::Graceful {
            **login = Login::Decided(LoginOutcome::Failed(SHUTTING_DOWN));
        }
        if login.poll(cx).is_ready() {
            return Ok(Stage::Running(batch).into());
        }
        self.client.set(ClientFlag::Paused, true);
        // It notices when the client leaves.
        match self.read_ahead(cx)? {
            ReadAhead::End => Ok(Stage::Ended.into()),
            ReadAhead::Open => Ok(Next::Wait(Stage::Running(batch))),
        }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}
