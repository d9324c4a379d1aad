//! The commands of client-side caching: `CLIENT TRACKING` and its relatives.

use std::slice;

use bytes::Bytes;

use crate::{
    Error, FromArg, Reply,
    acl::User,
    command::{ArgKind, ArgSpec, Arguments},
    commands,
    conn::ConnectionState,
    keyspace::{Tracked, TrackingMode, TrackingOptions, TrackingRedirect},
    resp::{Encoder, parse_integer},
};

#[commands(rows = TRACKING, group = "connection")]
impl ConnectionState {
    /// Controls server-assisted client-side caching for the connection.
    #[command("CLIENT TRACKING", noscript, loading, stale, tenant_safe)]
    fn client_tracking(
        &mut self,
        status: Status<'_>,
        options: Option<TrackingWords<'_>>,
    ) -> Result<(), Error> {
        let options = self.read_options(options.map_or(Vec::new(), |options| options.0))?;
        match status.0.to_ascii_lowercase().as_slice() {
            b"on" => {
                let options = options.checked()?.with_key_prefix(&self.key_prefix);
                let user = self.server.acl.user_of(&self.client);
                let may_track =
                    user.is_some_and(|user| may_track(&user, &options.prefixes, &self.key_prefix));
                if options.mode == TrackingMode::Broadcast && !may_track {
                    return Err(KEYS_NOT_READABLE);
                }
                self.server.keyspace.track(&self.client, options, self.worker)
            }
            b"off" => {
                self.server.keyspace.untrack(&self.client);
                Ok(())
            }
            _ => Err(Error::SYNTAX),
        }
    }

    /// Instructs the server whether to track the keys in the next request.
    #[command("CLIENT CACHING", noscript, loading, stale, tenant_safe)]
    fn client_caching(&mut self, mode: &[u8]) -> Result<(), Error> {
        self.server.keyspace.set_caching(&self.client, mode)
    }

    /// Returns the client ID to which the connection's tracking notifications are redirected.
    #[command("CLIENT GETREDIR", noscript, loading, stale, tenant_safe)]
    fn client_getredir(&self) -> i64 {
        self.server.keyspace.tracked(&self.client).redirect.as_i64()
    }

    /// Returns information about server-assisted client-side caching for the connection.
    #[command("CLIENT TRACKINGINFO", noscript, loading, stale, tenant_safe)]
    fn client_trackinginfo(&self) -> TrackingInfo {
        let keyspace = &self.server.keyspace;
        TrackingInfo {
            tracked: keyspace.tracked(&self.client),
            prefixes: keyspace.tracked_prefixes(&self.client),
        }
    }
}

impl ConnectionState {
    /// Collects the options. As in Redis, the first faulty option determines the error.
    fn read_options(&self, words: Vec<TrackingOption<'_>>) -> Result<Options, Error> {
        let mut options = Options::default();
        for word in words {
            match word {
                TrackingOption::Redirect(_) if options.redirect.is_some() => {
                    return Err(SEVERAL_REDIRECTS);
                }
                TrackingOption::Redirect(id) => {
                    let id: i64 = parse_integer(id).ok_or(Error::NOT_AN_INTEGER)?;
                    let client = u64::try_from(id).ok().and_then(|id| self.server.clients.get(id));
                    let client = client.filter(|client| client.key_prefix() == self.key_prefix);
                    options.redirect = Some(client.ok_or(NO_SUCH_REDIRECT)?.id());
                }
                TrackingOption::Prefix(prefix) => options.prefixes.push(Bytes::copy_from_slice(prefix)),
                TrackingOption::Bcast => options.bcast = true,
                TrackingOption::OptIn => options.optin = true,
                TrackingOption::OptOut => options.optout = true,
                TrackingOption::NoLoop => options.noloop = true,
                TrackingOption::Unknown => return Err(Error::SYNTAX),
            }
        }
        Ok(options)
    }
}

/// Returns whether a user may read all keys with these prefixes, or all keys with its key prefix if there is none.
pub(super) fn may_track(user: &User, prefixes: &[Bytes], key_prefix: &Bytes) -> bool {
    let prefixes = if prefixes.is_empty() { slice::from_ref(key_prefix) } else { prefixes };
    prefixes.iter().all(|prefix| user.may_read_all(prefix))
}

/// As for a command with these keys. Redis does not check them.
const KEYS_NOT_READABLE: Error =
    Error::from_static("NOPERM this user has no permissions to access one of the keys used as arguments");
const SEVERAL_REDIRECTS: Error =
    Error::from_static("ERR A client can only redirect to a single other client");
const NO_SUCH_REDIRECT: Error = Error::from_static("ERR The client ID you want redirect to does not exist");
const PREFIX_WITHOUT_BCAST: Error = Error::from_static("ERR PREFIX option requires BCAST mode to be enabled");
const BCAST_WITH_OPTIN: Error = Error::from_static("ERR OPTIN and OPTOUT are not compatible with BCAST");
const OPTIN_AND_OPTOUT: Error = Error::from_static("ERR You can't specify both OPTIN mode and OPTOUT mode");

/// `ON` or `OFF`, still unparsed: as in Redis, errors in the options take precedence.
struct Status<'a>(&'a [u8]);

impl<'a> FromArg<'a> for Status<'a> {
    const ARG: ArgSpec = ArgSpec::one_of(&[
        ArgSpec::new(ArgKind::PureToken).named("on").token("ON"),
        ArgSpec::new(ArgKind::PureToken).named("off").token("OFF"),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        args.take().map(Status)
    }
}

struct TrackingWords<'a>(Vec<TrackingOption<'a>>);

enum TrackingOption<'a> {
    Redirect(&'a [u8]),
    Prefix(&'a [u8]),
    Bcast,
    OptIn,
    OptOut,
    NoLoop,
    Unknown,
}

impl<'a> FromArg<'a> for TrackingWords<'a> {
    const ARG: ArgSpec = ArgSpec::options(&[
        ArgSpec::new(ArgKind::Integer).named("client-id").token("REDIRECT").optional(),
        ArgSpec::new(ArgKind::String).named("prefix").token("PREFIX").optional().multiple(),
        ArgSpec::new(ArgKind::PureToken).named("bcast").token("BCAST").optional(),
        ArgSpec::new(ArgKind::PureToken).named("optin").token("OPTIN").optional(),
        ArgSpec::new(ArgKind::PureToken).named("optout").token("OPTOUT").optional(),
        ArgSpec::new(ArgKind::PureToken).named("noloop").token("NOLOOP").optional(),
    ]);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        let mut options = Vec::new();
        while !args.is_empty() {
            let has_value = args.len() > 1;
            options.push(if has_value && args.accept("REDIRECT") {
                TrackingOption::Redirect(args.take()?)
            } else if has_value && args.accept("PREFIX") {
                TrackingOption::Prefix(args.take()?)
            } else if args.accept("BCAST") {
                TrackingOption::Bcast
            } else if args.accept("OPTIN") {
                TrackingOption::OptIn
            } else if args.accept("OPTOUT") {
                TrackingOption::OptOut
            } else if args.accept("NOLOOP") {
                TrackingOption::NoLoop
            } else {
                args.take()?;
                TrackingOption::Unknown
            });
        }
        Ok(TrackingWords(options))
    }
}

/// The options of `CLIENT TRACKING` before the check that they are compatible.
#[derive(Default)]
struct Options {
    redirect: Option<u64>,
    prefixes: Vec<Bytes>,
    bcast: bool,
    optin: bool,
    optout: bool,
    noloop: bool,
}

impl Options {
    /// Returns the resulting tracking options, or an error if the options are incompatible.
    fn checked(self) -> Result<TrackingOptions, Error> {
        let mode = match (self.bcast, self.optin, self.optout) {
            (false, ..) if !self.prefixes.is_empty() => return Err(PREFIX_WITHOUT_BCAST),
            (true, false, false) => TrackingMode::Broadcast,
            (true, ..) => return Err(BCAST_WITH_OPTIN),
            (false, true, true) => return Err(OPTIN_AND_OPTOUT),
            (false, true, false) => TrackingMode::OptIn,
            (false, false, true) => TrackingMode::OptOut,
            (false, false, false) => TrackingMode::Reads,
        };
        let redirect = self.redirect.map_or(TrackingRedirect::Itself, TrackingRedirect::To);
        Ok(TrackingOptions { mode, redirect, no_loop: self.noloop, prefixes: self.prefixes })
    }
}

/// The reply of `CLIENT TRACKINGINFO`.
struct TrackingInfo {
    tracked: Tracked,
    prefixes: Vec<Bytes>,
}

impl Reply for TrackingInfo {
    fn write_to(self, out: &mut Encoder) {
        let TrackingInfo { tracked, prefixes } = self;
        let flags = [
            ("off", tracked.mode == TrackingMode::Off),
            ("on", tracked.mode != TrackingMode::Off),
            ("bcast", tracked.mode == TrackingMode::Broadcast),
            ("optin", tracked.mode == TrackingMode::OptIn),
            ("caching-yes", tracked.mode == TrackingMode::OptIn && tracked.is_caching),
            ("optout", tracked.mode == TrackingMode::OptOut),
            ("caching-no", tracked.mode == TrackingMode::OptOut && tracked.is_caching),
            ("noloop", tracked.no_loop),
            ("broken_redirect", tracked.is_broken),
        ];
        let set: Vec<&str> = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).collect();
        out.map(3);
        "flags".write_to(out);
        out.set(set.len());
        set.iter().for_each(|flag| flag.write_to(out));
        "redirect".write_to(out);
        tracked.redirect.as_i64().write_to(out);
        "prefixes".write_to(out);
        out.array(prefixes.len());
        prefixes.iter().for_each(|prefix| out.key(prefix));
    }
}
