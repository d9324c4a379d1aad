//! The users of a server, who change while it runs.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    Access, AclLog, Catalog, Denied, Described, LogEntry, PasswordHash, Refusal, RuleError, UpstreamCommands,
    User, Users,
    failed_logins::{FailedLogins, LoginSource, LoginTurn},
    request::{check_forwarded, check_row, full_name},
};
use crate::{
    Client, Error, Request,
    batch::CommandId,
    client::Address,
    command::{Flags, Spec},
    observe::{Hook, Hooks},
    pubsub::KeyReaders,
    settings::{Setting, Settings},
};

/// The users of a server, and the requests that were refused.
pub(crate) struct AccessControl {
    catalog: Catalog,
    upstream: Arc<dyn UpstreamCommands>,
    settings: Arc<Settings>,
    hooks: Arc<Hooks>,
    users: RwLock<Users>,
    /// Grows with each change, so that connections notice it. At least 1.
    generation: AtomicU64,
    /// Clients need not authenticate.
    is_open: AtomicBool,
    log: Mutex<AclLog>,
    failed_logins: Mutex<FailedLogins>,
    /// An actor of the application knows further users.
    has_authenticator: bool,
    file: Option<PathBuf>,
}

/// The answer of the users of the server to a name and a password.
#[derive(Debug)]
pub(crate) enum LocalLogin {
    Accepted(Arc<[u8]>),
    Refused,
    /// No such user, or a user without a password.
    Unknown,
}

/// A login that waits, because others from the same address have failed. The wait ends when it is dropped.
#[derive(Debug)]
pub(crate) struct DelayedLogin {
    acl: Arc<AccessControl>,
    source: LoginSource,
}

impl Drop for DelayedLogin {
    fn drop(&mut self) {
        self.acl.lock_failed_logins().end_delay(self.source);
    }
}

const TOO_MANY_LOGINS: Error =
    Error::from_static("ERR too many logins from this address wait after failed ones: try again later");

/// The users of a server, as its program has set them.
#[derive(Default)]
pub(crate) struct UserConfig {
    /// The password of the default user.
    pub(crate) password: Option<PasswordHash>,
    /// Names, each with its rules, which contain hashes in place of passwords.
    pub(crate) users: Vec<(String, Vec<String>)>,
    pub(crate) file: Option<PathBuf>,
    /// An actor of the application knows further users.
    pub(crate) has_authenticator: bool,
}

impl AccessControl {
    /// Creates the users.
    ///
    /// # Errors
    /// Returns the mistake in the users or in the file, or what is wrong with the categories of the commands.
    pub(crate) fn new(
        config: UserConfig,
        commands: &[&'static Spec],
        upstream: Arc<dyn UpstreamCommands>,
        settings: Arc<Settings>,
        hooks: Arc<Hooks>,
    ) -> Result<Self, String> {
        let has_others = commands.iter().any(|spec| spec.flags.contains(Flags::ANY_NAME));
        let catalog = Catalog::new(commands, has_others)?;
        let control = AccessControl {
            users: RwLock::new(Users::none()),
            catalog,
            upstream,
            settings,
            hooks,
            generation: AtomicU64::new(1),
            is_open: AtomicBool::new(true),
            log: Mutex::default(),
            failed_logins: Mutex::default(),
            has_authenticator: config.has_authenticator,
            file: config.file,
        };
        control.change(|users| Ok::<_, String>(users.set(control.default_user())))?;
        if control.file.is_some() {
            if config.password.is_some() || !config.users.is_empty() {
                return Err(
                    "there are users in a file and others in the program: write all of them into the file"
                        .into(),
                );
            }
            control.load()?;
        }
        if let Some(password) = config.password {
            let rule = format!("#{password}");
            control
                .set_user(Users::DEFAULT, [b"resetpass", rule.as_bytes()])
                .map_err(|error| error.to_string())?;
        }
        for (name, rules) in config.users {
            let rules = rules.iter().map(String::as_bytes);
            let mistake = |error| format!("the user `{name}` has a mistake: {error}");
            control.set_user(name.as_bytes(), rules).map_err(mistake)?;
        }
        Ok(control)
    }

    /// Returns a number that is greater after each change of a user.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Acquire)
    }

    /// Returns whether clients need not authenticate.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Relaxed)
    }

    /// Returns whether the default user has no password.
    pub(crate) fn needs_no_password(&self) -> bool {
        self.users().default_user().is_some_and(|user| user.nopass)
    }

    /// Compares a password with those of a user.
    pub(crate) fn authenticate(&self, name: &[u8], password: &[u8]) -> LocalLogin {
        let users = self.users();
        // A user that does not exist takes as long as one with another password.
        let Some(user) = users.get(name) else {
            User::new(name, &self.catalog, false).matches_password(password);
            return LocalLogin::Unknown;
        };
        if user.matches_password(password) {
            LocalLogin::Accepted((*user.name).into())
        } else if user.is_on && user.passwords().next().is_none() {
            LocalLogin::Unknown
        } else {
            LocalLogin::Refused
        }
    }

    /// Delays a login if others from the same address have failed. Returns the time to wait.
    ///
    /// # Errors
    /// If too many logins from the address wait.
    pub(crate) fn delay_login(
        this: &Arc<Self>,
        address: &Address,
    ) -> Result<Option<(Duration, DelayedLogin)>, Error> {
        let source = LoginSource::from(address);
        let max_delay = this.settings.time(Setting::AuthDelay).unwrap_or_default();
        match this.lock_failed_logins().turn(source, max_delay) {
            LoginTurn::Now => Ok(None),
            LoginTurn::After(time) => Ok(Some((time, DelayedLogin { acl: Arc::clone(this), source }))),
            LoginTurn::Refused => Err(TOO_MANY_LOGINS),
        }
    }

    /// Counts a failed login from this address.
    pub(crate) fn add_failed_login(&self, address: &Address) {
        self.lock_failed_logins().add(address.into());
    }

    /// Logs how many logins have failed, once a minute. It is called once a second.
    pub(crate) fn report_failed_logins(&self) {
        let Some(report) = self.lock_failed_logins().take_report() else { return };
        let (address, of_address) = match report.worst {
            Some((source, count)) => (source.to_string(), count),
            None => (String::new(), 0),
        };
        tracing::warn!(
            failures = report.failures,
            address,
            of_address,
            "logins have failed within a minute, most of them from this address"
        );
    }

    fn lock_failed_logins(&self) -> MutexGuard<'_, FailedLogins> {
        // No code panics while it holds the lock.
        self.failed_logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the user `default` before any rules. With an authenticator, it has no password: clients have to log in.
    fn default_user(&self) -> User {
        let user = User::default_user(&self.catalog);
        User { nopass: !self.has_authenticator, ..user }
    }

    /// Returns the user of a client.
    pub(crate) fn user_of(&self, client: &Client) -> Option<Arc<User>> {
        let name = client.user_name();
        client.attached::<User>().filter(|own| *own.name == *name).or_else(|| self.user(&name))
    }

    /// Returns whether the client is this user of the server, and not one of its own.
    pub(crate) fn is_user(&self, client: &Client, name: &[u8]) -> bool {
        *client.user_name() == *name && client.attached::<User>().is_none_or(|own| *own.name != *name)
    }

    /// Returns a user that is not one of the server, with these rules.
    pub(crate) fn own_user(&self, name: &str, rules: &str) -> Result<User, String> {
        if name.is_empty() || !Users::is_name(name.as_bytes()) {
            return Err("a name has no spaces and is not empty".into());
        }
        let rules = rules.split_ascii_whitespace().map(str::as_bytes);
        let user = User::new(name.as_bytes(), &self.catalog, self.all_channels());
        user.with_rules(rules, &self.catalog, self.all_channels()).map_err(|error| error.to_string())
    }

    /// Returns the name of a user if clients can be this user.
    #[cfg(feature = "tls")]
    pub(crate) fn enabled_user(&self, name: &[u8]) -> Option<Arc<[u8]>> {
        let users = self.users();
        users.get(name).filter(|user| user.is_on).map(|user| (*user.name).into())
    }

    /// Returns the user with this name.
    pub(crate) fn user(&self, name: &[u8]) -> Option<Arc<User>> {
        self.users().get(name).cloned()
    }

    /// Returns a user with this name that may do nothing.
    pub(crate) fn unknown_user(&self, name: &[u8]) -> Arc<User> {
        Arc::new(User::new(name, &self.catalog, false))
    }

    /// Returns the names of all users.
    pub(crate) fn names(&self) -> Vec<Box<[u8]>> {
        self.users().iter().map(|user| user.name.clone()).collect()
    }

    /// Returns a line for each user, as `ACL LIST` has it.
    pub(crate) fn lines(&self) -> Vec<Vec<u8>> {
        self.users().lines(&self.catalog).collect()
    }

    /// Returns whether a user may do what a request wants. `word` returns the word at a position below `len`.
    ///
    /// Only the keys of a request that a proxy sends on do not have the key prefix of the client yet.
    #[inline(never)]
    pub(crate) fn check<'a>(
        &self,
        user: &User,
        command: &'static Spec,
        id: CommandId,
        len: usize,
        word: impl Fn(usize) -> Option<&'a [u8]> + Copy,
        key_prefix: &[u8],
    ) -> Result<(), Denied> {
        if command.flags.contains(Flags::FORWARDED) {
            return check_forwarded(user, command, &*self.upstream, len, word, key_prefix);
        }
        check_row(user, &self.catalog, command, id, len, word)
    }

    /// Checks whether a user may get the `HELP` of a container. Returns `None` if there is no such container.
    pub(crate) fn check_help(&self, user: &User, container: &[u8]) -> Option<Result<(), Denied>> {
        Some(user.check(&Access::new(self.catalog.help(container)?)))
    }

    /// Returns whether a request that a proxy would send on is of a command that the upstreams do not have.
    pub(crate) fn is_unknown(&self, request: &Request<'_>) -> bool {
        let words: Vec<&[u8]> = (0..request.len()).filter_map(|index| request.get(index)).collect();
        self.upstream.is_unknown(&words)
    }

    /// Returns the full name of the command of a request, in errors and in `ACL LOG`.
    pub(crate) fn full_name<'a>(&self, command: &Spec, word: impl Fn(usize) -> Option<&'a [u8]>) -> String {
        full_name(command, &*self.upstream, word)
    }

    /// Returns whether the upstreams have described their commands; see [`UpstreamCommands::await_description`].
    pub(crate) fn await_description(&self, client: &Client) -> Described {
        self.upstream.await_description(client)
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Creates a user, or changes it: by all of these rules or, after an error, by none.
    pub(crate) fn set_user<'a>(
        &self,
        name: &[u8],
        rules: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Arc<User>, RuleError> {
        self.change(|users| {
            let all_channels = self.all_channels();
            let user = match users.get(name) {
                Some(user) => user.with_rules(rules, &self.catalog, all_channels)?,
                None => User::new(name, &self.catalog, all_channels).with_rules(
                    rules,
                    &self.catalog,
                    all_channels,
                )?,
            };
            Ok(users.set(user))
        })
    }

    /// Deletes a user. Returns `false` if it does not exist, or is the default user.
    pub(crate) fn delete_user(&self, name: &[u8]) -> bool {
        self.change(|users| users.remove(name).ok_or(())).is_ok()
    }

    /// Returns the file with the users.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Replaces all users with those of the file. Without a file, it does nothing.
    ///
    /// Returns the names of the users that have changed or no longer exist.
    ///
    /// # Errors
    /// Returns the mistakes in the file. The users are then as before.
    pub(crate) fn load(&self) -> Result<BTreeSet<Box<[u8]>>, String> {
        let Some(file) = &self.file else { return Ok(BTreeSet::new()) };
        let loaded = Users::load(file, &self.catalog, self.all_channels(), self.default_user())?;
        self.change(|users| {
            let is_same = |user: &User| {
                let other = loaded.get(&user.name).map(|other| other.describe(&self.catalog));
                other.is_some_and(|other| other == user.describe(&self.catalog))
            };
            let changed = users.iter().filter(|user| !is_same(user)).map(|user| user.name.clone()).collect();
            *users = loaded;
            Ok(changed)
        })
    }

    /// Writes all users into the file. Without a file, it does nothing.
    pub(crate) fn save(&self) -> std::io::Result<()> {
        match &self.file {
            Some(file) => self.users().save(file, &self.catalog),
            None => Ok(()),
        }
    }

    /// Adds a refusal to the log.
    pub(crate) fn log(&self, refusal: Refusal, client_info: String) {
        let max_len = self.settings.size(Setting::AclLogMaxLen);
        self.lock_log().add(refusal, client_info, unix_millis(), max_len);
    }

    /// Returns the last entries of the log, the last one first, each with its age in milliseconds.
    pub(crate) fn last_entries(&self, max: usize) -> Vec<(LogEntry, u64)> {
        let now = unix_millis();
        let with_age = |entry: &LogEntry| (entry.clone(), now.saturating_sub(entry.created));
        self.lock_log().iter().take(max).map(with_age).collect()
    }

    pub(crate) fn reset_log(&self) {
        self.lock_log().reset();
    }

    /// Changes the users, unless `change` fails.
    fn change<T, E>(&self, change: impl FnOnce(&mut Users) -> Result<T, E>) -> Result<T, E> {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut users)?;
        let is_open = users.default_user().is_some_and(|user| user.is_on && user.nopass);
        self.is_open.store(is_open, Relaxed);
        // It stays set: clients of a user that is gone must be checked until they are closed.
        if self.has_authenticator || users.iter().any(|user| !user.is_unrestricted()) {
            self.hooks.set(Hook::Users, true);
        }
        // Still under the lock: who sees the new number finds the new users.
        self.generation.fetch_add(1, Release);
        Ok(changed)
    }

    fn users(&self) -> RwLockReadGuard<'_, Users> {
        // A change that panics leaves the users as they were, or complete.
        self.users.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_log(&self) -> MutexGuard<'_, AclLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether new users may use all channels (`acl-pubsub-default`).
    fn all_channels(&self) -> bool {
        self.settings.get(Setting::AclPubSubDefault) == 0
    }
}

impl KeyReaders for AccessControl {
    fn are_limited(&self) -> bool {
        self.hooks.is(Hook::Users)
    }

    fn may_read(&self, client: &Client, key: &[u8]) -> bool {
        self.user_of(client).is_some_and(|user| user.may_read(key))
    }
}

impl fmt::Debug for AccessControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessControl").field("file", &self.file).finish_non_exhaustive()
    }
}

impl fmt::Debug for UserConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserConfig").field("file", &self.file).finish_non_exhaustive()
    }
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
