//! `ACL`: the users, and what they may do.

use std::sync::Arc;

use super::tracking::may_track;
use crate::{
    Bytes, Client, Error, FromArg, Reply,
    acl::{Denied, LogEntry, Selector, User, Users, help_of},
    batch::CommandId,
    client::CloseRequest,
    command::{ArgKind, ArgSpec, Arguments, Spec},
    commands,
    conn::ConnectionState,
    keyspace::TrackingMode,
    pubsub::ChannelKind,
    resp::{Encoder, parse_integer},
    server_state::ServerState,
};

#[commands(rows = ACL, group = "server")]
impl ConnectionState {
    /// Lists the ACL categories, or the commands inside a category.
    #[command("ACL CAT", noscript, loading, stale, tenant_safe)]
    fn acl_cat(&self, category: AtMostOne<'_>) -> Result<Vec<String>, Error> {
        let catalog = self.server.acl.catalog();
        let Some(name) = category.or_too_many("CAT")? else {
            return Ok(catalog.categories().iter().map(|(name, _)| name.to_owned()).collect());
        };
        match catalog.categories().find(name) {
            Some((_, category)) => Ok(catalog.commands_of(category).map(str::to_owned).collect()),
            None => Err(quoting("ERR Unknown category '", name, "'")),
        }
    }

    /// Deletes ACL users, and terminates their connections.
    #[command("ACL DELUSER", admin, noscript, loading, stale)]
    fn acl_deluser(&mut self, username: Vec<&[u8]>) -> Result<i64, Error> {
        if username.contains(&Users::DEFAULT) {
            return Err(DEFAULT_IS_NEEDED);
        }
        let mut deleted = 0;
        for name in username {
            deleted += i64::from(self.server.acl.delete_user(name));
        }
        self.close_deleted();
        Ok(deleted)
    }

    /// Simulates the execution of a command by a user, without executing the command.
    #[command("ACL DRYRUN", admin, noscript, loading, stale)]
    fn acl_dryrun(&self, username: &[u8], command: &[u8], arg: Option<Vec<&[u8]>>) -> Result<DryRun, Error> {
        let user = self.server.acl.user(username);
        let user = user.ok_or_else(|| quoting("ERR User '", username, "' not found"))?;
        let words: Vec<&[u8]> = [command].into_iter().chain(arg.unwrap_or_default()).collect();
        if let [container, word] = words[..]
            && word.eq_ignore_ascii_case(b"HELP")
            && let Some(checked) = self.server.acl.check_help(&user, container)
        {
            return Ok(match checked {
                Ok(()) => DryRun::Allowed,
                Err(denied) => DryRun::Denied(explained(denied, &help_of(container), &words)),
            });
        }
        let (spec, id) =
            self.dry_command(&words).ok_or_else(|| quoting("ERR Command '", command, "' not found"))?;
        if !spec.accepts(words.len()) {
            return Err(Error::err(format_args!(
                "wrong number of arguments for '{}' command",
                spec.full_name()
            )));
        }
        let word = |index: usize| words.get(index).copied();
        Ok(match self.server.acl.check(&user, spec, id, words.len(), word, b"") {
            Ok(()) => DryRun::Allowed,
            Err(denied) => DryRun::Denied(explained(denied, &self.server.acl.full_name(spec, word), &words)),
        })
    }

    /// Generates a pseudorandom, secure password that can be used to identify ACL users.
    #[command("ACL GENPASS", noscript, loading, stale, tenant_safe)]
    fn acl_genpass(&self, bits: AtMostOne<'_>) -> Result<String, Error> {
        let bits = match bits.or_too_many("GENPASS")? {
            Some(bits) => parse_integer::<i64>(bits).ok_or(Error::NOT_AN_INTEGER)?,
            None => 256,
        };
        let bits = usize::try_from(bits).ok().filter(|bits| (1..=4096).contains(bits));
        let digits = bits.ok_or(GENPASS_BITS)?.div_ceil(4);
        let mut bytes = vec![0; digits.div_ceil(2)];
        getrandom::getrandom(&mut bytes).map_err(|error| Error::internal(error.to_string()))?;
        let mut password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        password.truncate(digits);
        Ok(password)
    }

    /// Lists the ACL rules of a user.
    #[command("ACL GETUSER", admin, noscript, loading, stale)]
    fn acl_getuser(&self, username: &[u8]) -> Option<UserReply<'_>> {
        self.server.acl.user(username).map(|user| UserReply { user, server: &self.server })
    }

    /// Dumps the effective rules in ACL file format.
    #[command("ACL LIST", admin, noscript, loading, stale)]
    fn acl_list(&self) -> Vec<Bytes> {
        self.server.acl.lines().into_iter().map(Bytes::from).collect()
    }

    /// Reloads the rules from the configured ACL file.
    #[command("ACL LOAD", admin, noscript, loading, stale)]
    fn acl_load(&mut self) -> Result<(), Error> {
        let server = Arc::clone(&self.server);
        let acl = &server.acl;
        acl.file().ok_or(NO_FILE)?;
        let changed = acl.load().map_err(Error::err)?;
        let has_changed = |client: &Client| {
            let name = client.user_name();
            *name != *Users::DEFAULT && changed.contains(&*name) && server.acl.is_user(client, &name)
        };
        self.close_clients(has_changed);
        self.apply_rules(Users::DEFAULT);
        Ok(())
    }

    /// Lists recent security events generated due to ACL rules.
    #[command("ACL LOG", admin, noscript, loading, stale)]
    fn acl_log(&self, operation: AtMostOne<'_>) -> Result<LogReply, Error> {
        let count = match operation.or_too_many("LOG")? {
            None => 10,
            Some(word) if word.eq_ignore_ascii_case(b"RESET") => {
                self.server.acl.reset_log();
                return Ok(LogReply::Reset);
            }
            Some(count) => parse_integer::<i64>(count).ok_or(Error::NOT_AN_INTEGER)?,
        };
        Ok(LogReply::Entries(self.server.acl.last_entries(usize::try_from(count).unwrap_or(0))))
    }

    /// Saves the effective ACL rules in the configured ACL file.
    #[command("ACL SAVE", admin, noscript, loading, stale)]
    fn acl_save(&self) -> Result<(), Error> {
        let acl = &self.server.acl;
        acl.file().ok_or(NO_FILE)?;
        acl.save().map_err(|error| {
            tracing::warn!(%error, "the file with the users cannot be written");
            NOT_SAVED
        })
    }

    /// Creates and modifies an ACL user and its rules.
    #[command("ACL SETUSER", admin, noscript, loading, stale)]
    fn acl_setuser(&mut self, username: &[u8], rule: Option<Vec<&[u8]>>) -> Result<(), Error> {
        if !Users::is_name(username) {
            return Err(INVALID_NAME);
        }
        let rules = rule.unwrap_or_default();
        self.server.acl.set_user(username, rules).map_err(|error| Error::err(format_args!("{error}")))?;
        self.apply_rules(username);
        Ok(())
    }

    /// Lists all ACL users.
    #[command("ACL USERS", admin, noscript, loading, stale)]
    fn acl_users(&self) -> Vec<Bytes> {
        self.server.acl.names().into_iter().map(|name| Bytes::from(name.into_vec())).collect()
    }

    /// Returns the authenticated username of the current connection.
    #[command("ACL WHOAMI", noscript, loading, stale, tenant_safe)]
    fn acl_whoami(&self) -> Bytes {
        Bytes::copy_from_slice(&self.client.user_name())
    }
}

impl ConnectionState {
    /// Returns the command that these words name, or the one for all other names.
    fn dry_command(&self, words: &[&[u8]]) -> Option<(&'static Spec, CommandId)> {
        let routes = &self.server.routes;
        let known = routes
            .table()
            .get(words.first()?)
            .and_then(|entry| words.get(1).and_then(|word| entry.subcommand(word)).or(entry.command));
        let id = known.map(|(_, target)| target).or(routes.fallback())?.command;
        Some((routes.command(id), id))
    }

    /// Closes the clients whose user no longer exists.
    fn close_deleted(&mut self) {
        let server = Arc::clone(&self.server);
        let acl = &server.acl;
        self.close_clients(|client| acl.user_of(client).is_none());
    }

    /// Applies changed rules to what the clients of a user do already.
    ///
    /// Closes clients that may no longer listen to one of their channels, or track the keys with one of their prefixes. Unblocks
    /// commands that they may no longer run.
    fn apply_rules(&mut self, name: &[u8]) {
        let server = Arc::clone(&self.server);
        let Some(user) = server.acl.user(name).filter(|user| !user.is_unrestricted()) else { return };
        let is_of_user = |client: &Client| server.acl.is_user(client, name);
        let subscribers = server.pubsub.clients(|client, kind, channel| {
            is_of_user(client) && !user.may_listen(channel, kind == ChannelKind::Pattern)
        });
        let may_track = |client: &Client| {
            server.keyspace.tracked(client).mode != TrackingMode::Broadcast
                || may_track(&user, &server.keyspace.tracked_prefixes(client), &client.key_prefix())
        };
        self.close_clients(|client| {
            let is_of_user = is_of_user(client);
            subscribers.contains_key(&client.id())
                || (is_of_user && (!user.may_keep_listening(client) || !may_track(client)))
        });
        for client in server.clients.all().iter().filter(|client| is_of_user(client)) {
            // Its next request may wait because the old rules deny it.
            client.wake();
            client.unblock_refused(|words, id| {
                let command = server.routes.command(id);
                let prefix = client.key_prefix();
                let denied =
                    server.acl.check(&user, command, id, words.len(), |index| words.get(index), &prefix);
                denied
                    .err()
                    .map(|denied| denied.error(&server.acl.full_name(command, |index| words.get(index))))
            });
        }
    }

    fn close_clients(&mut self, is_closed: impl Fn(&Client) -> bool) {
        for client in self.server.clients.all().iter().filter(|client| is_closed(client)) {
            if client.id() == self.client.id() {
                // The connection closes after it has sent the reply to this command.
                self.closing = true;
            } else {
                client.request_close(CloseRequest::Now);
            }
        }
    }
}

const DEFAULT_IS_NEEDED: Error = Error::from_static("ERR The 'default' user cannot be removed");
const GENPASS_BITS: Error = Error::from_static(
    "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
);
const INVALID_NAME: Error = Error::from_static("ERR Usernames can't contain spaces or null characters");
/// The first sentence is that of Redis, which goes on about its configuration file.
const NO_FILE: Error = Error::from_static(
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER \
     command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store \
     users in the Redis configuration.",
);
const NOT_SAVED: Error = Error::from_static(
    "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
);

/// An optional word. Redis has an error of its own for further ones.
struct AtMostOne<'a>(Vec<&'a [u8]>);

impl<'a> FromArg<'a> for AtMostOne<'a> {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::String).multiple().optional();

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        let mut words = Vec::new();
        while !args.is_empty() {
            words.push(args.take()?);
        }
        Ok(AtMostOne(words))
    }
}

impl<'a> AtMostOne<'a> {
    fn or_too_many(&self, subcommand: &str) -> Result<Option<&'a [u8]>, Error> {
        match self.0[..] {
            [] => Ok(None),
            [word] => Ok(Some(word)),
            _ => Err(Error::err(format_args!(
                "unknown subcommand or wrong number of arguments for '{subcommand}'. Try ACL HELP."
            ))),
        }
    }
}

fn quoting(before: &str, word: &[u8], after: &str) -> Error {
    Error::from_bytes([before.as_bytes(), word, after.as_bytes()].concat())
}

/// The reply of `ACL DRYRUN`.
enum DryRun {
    Allowed,
    /// The reason.
    Denied(Vec<u8>),
}

impl Reply for DryRun {
    fn write_to(self, out: &mut Encoder) {
        match self {
            DryRun::Allowed => out.simple("OK"),
            DryRun::Denied(reason) => out.bulk(&reason),
        }
    }
}

fn explained(denied: Denied, name: &str, words: &[&[u8]]) -> Vec<u8> {
    let word = |position: usize| words.get(position).copied().unwrap_or_default();
    let (before, what, after): (&str, &[u8], &str) = match denied {
        Denied::Command => ("run the '", name.as_bytes(), "' command"),
        Denied::Key(position) => ("access the '", word(position), "' key"),
        Denied::Channel(position) => ("access the '", word(position), "' channel"),
    };
    [b"This user has no permissions to ", before.as_bytes(), what, after.as_bytes()].concat()
}

/// The map of `ACL GETUSER`.
struct UserReply<'a> {
    user: Arc<User>,
    server: &'a ServerState,
}

impl Reply for UserReply<'_> {
    fn write_to(self, out: &mut Encoder) {
        let user = &self.user;
        out.map(6);
        "flags".write_to(out);
        let flags: Vec<_> = user.flags().collect();
        out.set(flags.len());
        flags.into_iter().for_each(|flag| out.bulk(flag.as_bytes()));
        "passwords".write_to(out);
        user.passwords().collect::<Vec<String>>().write_to(out);
        self.rules(user.root(), out);
        "selectors".write_to(out);
        out.array(user.nested_selectors().len());
        for selector in user.nested_selectors() {
            out.map(3);
            self.rules(selector, out);
        }
    }
}

impl UserReply<'_> {
    /// Writes the three entries that describe the rules of a selector.
    fn rules(&self, selector: &Selector, out: &mut Encoder) {
        let texts = [
            ("commands", selector.command_text(self.server.acl.catalog())),
            ("keys", selector.key_text()),
            ("channels", selector.channel_text()),
        ];
        for (name, text) in texts {
            name.write_to(out);
            out.bulk(&text);
        }
    }
}

/// The reply of `ACL LOG`.
enum LogReply {
    Reset,
    /// The entries, each with its age in milliseconds.
    Entries(Vec<(LogEntry, u64)>),
}

impl Reply for LogReply {
    fn write_to(self, out: &mut Encoder) {
        match self {
            LogReply::Reset => out.simple("OK"),
            LogReply::Entries(entries) => {
                out.array(entries.len());
                entries.iter().for_each(|(entry, age)| write_entry(entry, *age, out));
            }
        }
    }
}

fn write_entry(entry: &LogEntry, age: u64, out: &mut Encoder) {
    let refusal = &entry.refusal;
    out.map(10);
    "count".write_to(out);
    entry.count.write_to(out);
    let texts: [(&str, &[u8]); 4] = [
        ("reason", refusal.reason.name().as_bytes()),
        ("context", refusal.context.name().as_bytes()),
        ("object", &refusal.object),
        ("username", &refusal.username),
    ];
    for (name, text) in texts {
        name.write_to(out);
        out.bulk(text);
    }
    "age-seconds".write_to(out);
    (age as f64 / 1000.0).write_to(out);
    "client-info".write_to(out);
    entry.client_info.as_str().write_to(out);
    // These three are new in Redis 7.2.
    let numbers = [
        ("entry-id", entry.id),
        ("timestamp-created", entry.created),
        ("timestamp-last-updated", entry.updated),
    ];
    for (name, number) in numbers {
        name.write_to(out);
        number.write_to(out);
    }
}
