//! Applications that are made of applications.

use super::{App, MountedProxy};

impl App {
    /// Adds everything of another application: its actors and their commands, sections of `INFO`, connection events, middleware, and
    /// its fallback or proxy.
    ///
    /// So a part of a server can be a function that returns an [`App`], possibly in another crate:
    ///
    /// ```
    /// use thegiant::prelude::*;
    ///
    /// struct Clock;
    ///
    /// impl Actor for Clock {
    ///     type Context = Context<Self>;
    /// }
    ///
    /// #[commands]
    /// impl Clock {
    ///     /// Returns the seconds since 1970.
    ///     #[command("NOW", readonly, fast)]
    ///     fn now(&self) -> u64 {
    ///         thegiant::now() as u64 / 1000
    ///     }
    /// }
    ///
    /// /// A part of many servers.
    /// fn clock() -> App {
    ///     App::new().mount(Clock.start())
    /// }
    ///
    /// # #[thegiant::main]
    /// # async fn main() {
    /// let app = App::new().merge(clock()); // NOW
    /// let app = app.merge_with_prefix("utc.", clock()); // UTC.NOW
    /// # }
    /// ```
    ///
    /// | of the other application | in this one |
    /// | --- | --- |
    /// | handles from [`pubsub`](Self::pubsub), [`keyspace`](Self::keyspace) | reach the same channels and clients as those of this one |
    /// | [middleware](Self::middleware) | applies to the commands of the other application only, inside of the middleware of this one |
    /// | [`without`](Self::without), [`emulate_cluster`](Self::emulate_cluster), [`atomic`](Self::atomic) | applies to the whole |
    /// | [`databases`](Self::databases), [`authenticate`](Self::authenticate) | applies to the whole |
    /// | [`fallback`](Self::fallback), [`proxy`](Self::proxy) | gets the commands that no actor of the whole has |
    /// | [`address`](Self::address) | returns its address, unless this one has a supervised actor of the type |
    /// | [`shards`](Self::shards) | returns its addresses, unless both have shards of the type |
    ///
    /// # Panics
    /// Panics if both have a command of the same name, different numbers of [`databases`](Self::databases), a fallback or proxy each, or
    /// each an actor that [authenticates](Self::authenticate) clients.
    #[track_caller]
    pub fn merge(self, other: App) -> Self {
        self.add("", other)
    }

    /// Adds everything of another application like [`merge`](Self::merge). The names of its commands begin with a prefix.
    ///
    /// With the prefix `jobs.`, `ADD` becomes `JOBS.ADD`, also in `COMMAND`, in `HELP` and in errors. Upper and lower case of the
    /// prefix are the same. A command no longer replaces the built-in command of its name. The names stay in memory until
    /// the process ends, one for each prefix and command.
    ///
    /// # Panics
    /// Panics like [`merge`](Self::merge), if the prefix is empty or has other characters than letters, digits, `.`, `-`, `_` and
    /// `:`, or if the other application has a fallback or proxy, whose commands have no names to begin with the prefix.
    #[track_caller]
    pub fn merge_with_prefix(self, prefix: &str, other: App) -> Self {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        assert!(!prefix.is_empty() && prefix.bytes().all(is_valid), "{prefix:?} cannot begin a command name");
        assert!(!other.answers_any_name(), "an application with a fallback or proxy cannot have a prefix");
        self.add(prefix, other)
    }

    #[track_caller]
    fn add(mut self, prefix: &str, other: App) -> Self {
        assert!(
            !self.answers_any_name() || !other.answers_any_name(),
            "only one of two merged applications can have a fallback or proxy"
        );
        let App {
            routes,
            removed,
            info,
            #[cfg(feature = "metrics")]
            exports,
            connection_events,
            authenticator,
            middleware,
            keyspace,
            proxy,
            upstream_commands,
            emulates_cluster,
            databases,
            addresses,
            shards,
        } = other;
        self.databases = match (self.databases, databases) {
            (Some(one), Some(other)) if one != other => {
                panic!("two merged applications have {one} and {other} databases")
            }
            (one, other) => one.or(other),
        };
        keyspace.merge_into(&self.keyspace);
        let commands = routes.commands().len();
        let base = self.routes.merge(routes, prefix);
        for mut middleware in middleware {
            middleware.nest(base.commands, commands);
            self.middleware.push(middleware);
        }
        // At most one of the two has a proxy.
        if proxy.is_some() {
            self.upstream_commands = upstream_commands;
        }
        self.proxy = self.proxy.or(proxy.map(|proxy| match proxy {
            MountedProxy::Shared(actor_id) => MountedProxy::Shared(actor_id.after(base.actors)),
            per_worker => per_worker,
        }));
        self.removed.extend(removed);
        self.info.extend(info);
        #[cfg(feature = "metrics")]
        self.exports.extend(exports);
        self.connection_events.append(connection_events);
        assert!(
            self.authenticator.is_none() || authenticator.is_none(),
            "only one of two merged applications can authenticate clients"
        );
        self.authenticator = self.authenticator.or(authenticator);
        self.emulates_cluster |= emulates_cluster;
        self.addresses.extend(addresses);
        self.shards.extend(shards);
        self.check_atomic();
        self
    }

    /// Returns whether the application has a fallback or a proxy.
    fn answers_any_name(&self) -> bool {
        self.proxy.is_some() || self.routes.has_fallback()
    }
}
