//! The settings of a server, under their names in Redis. A setting can be changed at run time by any thread,
//! unless it is fixed when the server starts.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{
    keyspace::Events,
    resp::{DecodeLimits, parse_integer},
};

/// Length of the queue of connections that were not accepted yet. With a shorter queue, thousands of
/// simultaneous connects overflow it. The kernel drops those, and the clients wait for a retransmission.
pub(crate) const BACKLOG: i32 = 4096;

/// The decoder counts bytes of unread requests in 32 bits.
const MAX_QUERY_BUFFER: u64 = 1 << 31;

const MIB: u64 = 1024 * 1024;

/// A setting. Its number is its index in [`ROWS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    MaxClients,
    Timeout,
    TcpKeepalive,
    TcpUserTimeout,
    TcpBacklog,
    Databases,
    MaxBulkLen,
    QueryBufferLimit,
    RequestTimeout,
    AuthTimeout,
    AuthDelay,
    ReplyTimeout,
    MaxMemoryClients,
    NormalOutputLimit,
    NormalOutputSoftLimit,
    NormalOutputSoftTime,
    PushOutputLimit,
    PushOutputSoftLimit,
    PushOutputSoftTime,
    DropOldestPush,
    ShutdownTimeout,
    ProtectedMode,
    DebugCommands,
    SlowlogLogSlowerThan,
    SlowlogMaxLen,
    LatencyTracking,
    TrackingTableMaxKeys,
    NotifyKeyspaceEvents,
    AclLogMaxLen,
    AclPubSubDefault,
}

/// The syntax of the value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SettingKind {
    /// A number in this inclusive range.
    Number(i64, i64),
    /// A time: stored in milliseconds, read and written by `CONFIG` in seconds.
    Time,
    /// A number of bytes with this minimum, such as `2mb`.
    Memory(u64),
    /// `yes` or `no`.
    Flag,
    /// One of these words, stored as its index.
    OneOf(&'static [&'static str]),
    /// Letters for classes of events.
    Events,
}

struct SettingRow {
    setting: Setting,
    name: &'static str,
    kind: SettingKind,
    /// Fixed when the server starts.
    fixed: bool,
    default: i64,
}

const fn row(setting: Setting, name: &'static str, kind: SettingKind, default: i64) -> SettingRow {
    SettingRow { setting, name, kind, fixed: false, default }
}

const fn fixed(setting: Setting, name: &'static str, kind: SettingKind, default: i64) -> SettingRow {
    SettingRow { setting, name, kind, fixed: true, default }
}

/// The name of a row that is one part of a setting and is not shown by itself.
const PART: &str = "";

/// All settings, in the order of [`Setting`].
static ROWS: [SettingRow; 30] = [
    row(Setting::MaxClients, "maxclients", SettingKind::Number(1, u32::MAX as i64), 10_000),
    row(Setting::Timeout, "timeout", SettingKind::Time, 0),
    row(Setting::TcpKeepalive, "tcp-keepalive", SettingKind::Time, 300_000),
    row(Setting::TcpUserTimeout, "tcp-user-timeout", SettingKind::Time, 0),
    fixed(Setting::TcpBacklog, "tcp-backlog", SettingKind::Number(0, i32::MAX as i64), BACKLOG as i64),
    fixed(Setting::Databases, "databases", SettingKind::Number(1, u16::MAX as i64), 1),
    row(Setting::MaxBulkLen, "proto-max-bulk-len", SettingKind::Memory(MIB), 512 * MIB as i64),
    row(Setting::QueryBufferLimit, "client-query-buffer-limit", SettingKind::Memory(MIB), 1024 * MIB as i64),
    row(Setting::RequestTimeout, "request-timeout", SettingKind::Time, 0),
    row(Setting::AuthTimeout, "auth-timeout", SettingKind::Time, 60_000),
    row(Setting::AuthDelay, "auth-delay", SettingKind::Time, 2000),
    row(Setting::ReplyTimeout, "reply-timeout", SettingKind::Time, 0),
    row(Setting::MaxMemoryClients, "maxmemory-clients", SettingKind::Memory(0), 0),
    row(Setting::NormalOutputLimit, PART, SettingKind::Memory(0), 0),
    row(Setting::NormalOutputSoftLimit, PART, SettingKind::Memory(0), 0),
    row(Setting::NormalOutputSoftTime, PART, SettingKind::Time, 0),
    row(Setting::PushOutputLimit, PART, SettingKind::Memory(0), 32 * MIB as i64),
    row(Setting::PushOutputSoftLimit, PART, SettingKind::Memory(0), 8 * MIB as i64),
    row(Setting::PushOutputSoftTime, PART, SettingKind::Time, 60_000),
    row(Setting::DropOldestPush, "drop-oldest-push", SettingKind::Flag, 0),
    row(Setting::ShutdownTimeout, "shutdown-timeout", SettingKind::Time, 10_000),
    row(Setting::ProtectedMode, "protected-mode", SettingKind::Flag, 1),
    fixed(Setting::DebugCommands, "enable-debug-command", SettingKind::OneOf(&DebugAccess::NAMES), 0),
    row(Setting::SlowlogLogSlowerThan, "slowlog-log-slower-than", SettingKind::Number(-1, i64::MAX), -1),
    row(Setting::SlowlogMaxLen, "slowlog-max-len", SettingKind::Number(0, i64::MAX), 128),
    row(Setting::LatencyTracking, "latency-tracking", SettingKind::Flag, 0),
    row(
        Setting::TrackingTableMaxKeys,
        "tracking-table-max-keys",
        SettingKind::Number(0, i64::MAX),
        1_000_000,
    ),
    row(Setting::NotifyKeyspaceEvents, "notify-keyspace-events", SettingKind::Events, 0),
    row(Setting::AclLogMaxLen, "acllog-max-len", SettingKind::Number(0, i64::MAX), 128),
    row(
        Setting::AclPubSubDefault,
        "acl-pubsub-default",
        SettingKind::OneOf(&["allchannels", "resetchannels"]),
        1,
    ),
];

/// A setting with three numbers for each class of clients.
const OUTPUT_LIMITS: &str = "client-output-buffer-limit";
const OUTPUT_CLASSES: [(&str, Setting); 2] =
    [("normal", Setting::NormalOutputLimit), ("pubsub", Setting::PushOutputLimit)];

/// Settings that have no meaning here, but that tools read.
const CONSTANTS: [(&str, &str); 2] = [("save", ""), ("appendonly", "no")];

/// The file with the users, which the server knows.
pub(crate) const ACL_FILE: &str = "aclfile";

/// The settings of a server. [`Server`](crate::Server), [`Limits`](crate::Limits) and
/// [`Timeouts`](crate::Timeouts) document each at the method that sets it.
pub(crate) struct Settings([AtomicU64; ROWS.len()]);

/// A limit on the unsent bytes of a client; see [`Limits::output_buffer`](crate::Limits::output_buffer).
///
/// ```
/// use std::time::Duration;
/// use thegiant::OutputLimit;
///
/// const MIB: usize = 1024 * 1024;
/// let limit = OutputLimit::hard(32 * MIB).soft(8 * MIB, Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct OutputLimit {
    /// The hard limit in bytes; 0 means no limit.
    pub(crate) hard: u64,
    /// The soft limit in bytes, and the time for which a client may exceed it; 0 bytes mean no limit.
    soft: u64,
    pub(crate) soft_millis: u64,
}

impl OutputLimit {
    /// No limit.
    pub const NONE: OutputLimit = OutputLimit::hard(0);

    /// Creates a limit that closes a client as soon as it has more than this many unsent bytes; 0 means no
    /// limit.
    pub const fn hard(bytes: usize) -> Self {
        OutputLimit { hard: bytes as u64, soft: 0, soft_millis: 0 }
    }

    /// Adds a soft limit: the server closes a client that has more than `bytes` unsent bytes for longer than `time`.
    ///
    /// The server checks its clients once a second, so it closes a client up to two seconds after the time has passed.
    pub const fn soft(mut self, bytes: usize, time: Duration) -> Self {
        self.soft = bytes as u64;
        self.soft_millis = whole_millis(time);
        self
    }

    /// Returns the settings of a class, named by its first setting, and their values.
    pub(crate) fn parts(self, hard: Setting) -> impl Iterator<Item = (Setting, u64)> {
        let rows = ROWS[hard as usize..].iter();
        rows.zip([self.hard, self.soft, self.soft_millis]).map(|(row, value)| (row.setting, value))
    }

    /// Returns whether there is a limit.
    pub(crate) fn is_any(self) -> bool {
        self.hard != 0 || self.soft != 0
    }

    /// Returns whether this many bytes exceed the hard limit.
    pub(crate) fn is_over(self, bytes: usize) -> bool {
        self.hard != 0 && bytes as u64 > self.hard
    }

    /// Returns whether this many bytes exceed the soft limit.
    pub(crate) fn is_over_soft(self, bytes: usize) -> bool {
        self.soft != 0 && bytes as u64 > self.soft
    }
}

/// The clients that may run `DEBUG`; see [`Server::debug_commands`](crate::Server::debug_commands).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DebugAccess {
    /// No client.
    #[default]
    No,
    /// Clients on this machine.
    Local,
    /// All clients.
    Yes,
}

impl DebugAccess {
    /// The names in `CONFIG`, in the order of the variants.
    const NAMES: [&str; 3] = ["no", "local", "yes"];
}

impl Default for Settings {
    fn default() -> Self {
        Settings(ROWS.each_ref().map(|row| AtomicU64::new(row.default as u64)))
    }
}

impl Settings {
    pub(crate) fn get(&self, setting: Setting) -> u64 {
        self.0[setting as usize].load(Relaxed)
    }

    /// Returns a number that may be negative.
    pub(crate) fn signed(&self, setting: Setting) -> i64 {
        self.get(setting) as i64
    }

    pub(crate) fn flag(&self, setting: Setting) -> bool {
        self.get(setting) != 0
    }

    /// Returns a number as `usize`.
    pub(crate) fn size(&self, setting: Setting) -> usize {
        usize::try_from(self.get(setting)).unwrap_or(usize::MAX)
    }

    /// Returns a time; 0 is none.
    pub(crate) fn time(&self, setting: Setting) -> Option<Duration> {
        Some(self.get(setting)).filter(|millis| *millis > 0).map(Duration::from_millis)
    }

    pub(crate) fn set(&self, setting: Setting, value: u64) {
        self.0[setting as usize].store(value, Relaxed);
    }

    pub(crate) fn set_all(&self, changes: Vec<(Setting, u64)>) {
        changes.into_iter().for_each(|(setting, value)| self.set(setting, value));
    }

    /// Returns the limit of a class, named by its first setting.
    pub(crate) fn output_limit(&self, hard: Setting) -> OutputLimit {
        let [hard, soft, soft_millis] = [0, 1, 2].map(|part| self.0[hard as usize + part].load(Relaxed));
        OutputLimit { hard, soft, soft_millis }
    }

    /// Returns which clients may run `DEBUG`.
    pub(crate) fn debug_access(&self) -> DebugAccess {
        match self.get(Setting::DebugCommands) {
            0 => DebugAccess::No,
            1 => DebugAccess::Local,
            _ => DebugAccess::Yes,
        }
    }

    pub(crate) fn query_buffer_limit(&self) -> usize {
        self.get(Setting::QueryBufferLimit).min(MAX_QUERY_BUFFER) as usize
    }

    pub(crate) fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits::default().with_bulk_len(self.size(Setting::MaxBulkLen))
    }

    /// Returns the settings as `CONFIG GET` shows them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, String)> {
        let rows = ROWS.iter().filter(|row| row.name != PART).map(|row| (row.name, self.text(row)));
        let constants = CONSTANTS.into_iter().map(|(name, value)| (name, value.to_owned()));
        rows.chain([(OUTPUT_LIMITS, self.output_limits_text())]).chain(constants)
    }

    /// Returns the values that these changes set. Leaves out the settings `elsewhere`, which others change.
    ///
    /// # Errors
    /// The name of the setting that cannot be changed, and the reason.
    pub(crate) fn check<'a>(
        changes: &[(&'a [u8], &[u8])],
        elsewhere: &[(&'static str, String)],
    ) -> Result<Vec<(Setting, u64)>, ConfigRefusal<'a>> {
        // As in Redis, check all names before any value.
        let mut known = Vec::new();
        for (index, (name, _)) in changes.iter().enumerate() {
            let refuse = |reason| ConfigRefusal { name, reason };
            known.push(Changed::of(name, elsewhere).map_err(refuse)?);
            if changes[..index].iter().any(|(before, _)| before.eq_ignore_ascii_case(name)) {
                return Err(refuse(ConfigRefusalReason::Duplicate));
            }
        }
        let mut values = Vec::new();
        for ((_, value), changed) in changes.iter().zip(known) {
            let value = std::str::from_utf8(value).unwrap_or_default();
            // From here on, Redis uses its own spelling of the name.
            let refuse = |reason| ConfigRefusal { name: changed.name().as_bytes(), reason };
            values.extend(changed.parse(value).map_err(refuse)?);
        }
        Ok(values)
    }

    fn text(&self, row: &SettingRow) -> String {
        match row.kind {
            SettingKind::Number(..) => self.signed(row.setting).to_string(),
            SettingKind::Time => shown_seconds(self.get(row.setting)).to_string(),
            SettingKind::Memory(_) => self.get(row.setting).to_string(),
            SettingKind::Flag => (if self.flag(row.setting) { "yes" } else { "no" }).to_owned(),
            SettingKind::OneOf(names) => {
                names.get(self.size(row.setting)).copied().unwrap_or_default().to_owned()
            }
            SettingKind::Events => Events::from_bits(self.get(row.setting)).letters(),
        }
    }

    fn output_limits_text(&self) -> String {
        let class = |(class, hard)| {
            let OutputLimit { hard, soft, soft_millis } = self.output_limit(hard);
            format!("{class} {hard} {soft} {}", shown_seconds(soft_millis))
        };
        OUTPUT_CLASSES.map(class).join(" ")
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.all()).finish()
    }
}

/// A refused change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConfigRefusal<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) reason: ConfigRefusalReason,
}

/// The reason of a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ConfigRefusalReason {
    Unknown,
    /// The error text of Redis.
    Text(String),
    Duplicate,
}

impl From<&str> for ConfigRefusalReason {
    fn from(text: &str) -> Self {
        ConfigRefusalReason::Text(text.to_owned())
    }
}

/// The setting that a name refers to.
enum Changed {
    One(&'static SettingRow),
    OutputLimits,
    /// A setting with this name that is not kept here.
    Elsewhere(&'static str),
}

impl Changed {
    fn of(name: &[u8], elsewhere: &[(&'static str, String)]) -> Result<Self, ConfigRefusalReason> {
        let is_named = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        if is_named(OUTPUT_LIMITS) {
            return Ok(Changed::OutputLimits);
        }
        if let Some((known, _)) = elsewhere.iter().find(|(known, _)| is_named(known)) {
            return Ok(Changed::Elsewhere(known));
        }
        let is_constant = is_named(ACL_FILE) || CONSTANTS.iter().any(|(known, _)| is_named(known));
        let row = ROWS.iter().find(|row| row.name != PART && is_named(row.name));
        match row {
            Some(row) if !row.fixed => Ok(Changed::One(row)),
            None if !is_constant => Err(ConfigRefusalReason::Unknown),
            _ => Err("can't set immutable config".into()),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Changed::One(row) => row.name,
            Changed::OutputLimits => OUTPUT_LIMITS,
            Changed::Elsewhere(name) => name,
        }
    }

    /// Parses a value, which may set several parts.
    fn parse(&self, value: &str) -> Result<Vec<(Setting, u64)>, ConfigRefusalReason> {
        match self {
            Changed::One(row) => Ok(vec![(row.setting, parse_value(row.kind, value)?)]),
            Changed::OutputLimits => parse_output_limits(value),
            Changed::Elsewhere(_) => Ok(Vec::new()),
        }
    }
}

/// Converts a time to milliseconds, rounded up. A short time must not become 0, which means no limit.
pub(crate) const fn whole_millis(time: Duration) -> u64 {
    let millis = time.as_nanos().div_ceil(1_000_000);
    if millis > i64::MAX as u128 { i64::MAX as u64 } else { millis as u64 }
}

/// Converts milliseconds to the seconds that `CONFIG GET` shows, rounded up, because 0 means no limit.
fn shown_seconds(millis: u64) -> u64 {
    millis.div_ceil(1000)
}

fn parse_value(kind: SettingKind, value: &str) -> Result<u64, ConfigRefusalReason> {
    let between = |least: i64, most: i64| {
        ConfigRefusalReason::Text(format!("argument must be between {least} and {most} inclusive"))
    };
    match kind {
        SettingKind::Number(least, most) => {
            let number: i64 =
                parse_integer(value.as_bytes()).ok_or("argument couldn't be parsed into an integer")?;
            if (least..=most).contains(&number) { Ok(number as u64) } else { Err(between(least, most)) }
        }
        SettingKind::Time => {
            parse_value(SettingKind::Number(0, i32::MAX.into()), value).map(|seconds| seconds * 1000)
        }
        SettingKind::Memory(least) => {
            let bytes = parse_memory(value).ok_or("argument must be a memory value")?;
            let most = i64::MAX as u64;
            if (least..=most).contains(&bytes) { Ok(bytes) } else { Err(between(least as i64, i64::MAX)) }
        }
        SettingKind::Flag if value.eq_ignore_ascii_case("yes") => Ok(1),
        SettingKind::Flag if value.eq_ignore_ascii_case("no") => Ok(0),
        SettingKind::Flag => Err("argument must be 'yes' or 'no'".into()),
        SettingKind::OneOf(names) => {
            let found = names.iter().position(|name| name.eq_ignore_ascii_case(value));
            let known = || format!("argument(s) must be one of the following: {}", names.join(", "));
            found.map(|index| index as u64).ok_or_else(|| ConfigRefusalReason::Text(known()))
        }
        SettingKind::Events => Events::parse(value)
            .map(Events::bits)
            .ok_or_else(|| "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into()),
    }
}

/// Parses a number of bytes: `100`, `100b`, `1k` (1,000), `1kb` (1,024), and so on.
fn parse_memory(value: &str) -> Option<u64> {
    let digits = value.find(|char: char| !char.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Parses `CLASS HARD SOFT SECONDS`, for one class or several.
fn parse_output_limits(value: &str) -> Result<Vec<(Setting, u64)>, ConfigRefusalReason> {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let (classes, []) = words.as_chunks::<4>() else {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    };
    let mut values = Vec::new();
    for [class, hard, soft, seconds] in classes {
        let known = OUTPUT_CLASSES.iter().find(|(known, _)| known.eq_ignore_ascii_case(class));
        let (_, first) = known.ok_or("Invalid client class specified in buffer limit configuration.")?;
        let time = seconds.parse().ok().and_then(|seconds: u64| seconds.checked_mul(1000));
        let numbers = [parse_memory(hard), parse_memory(soft), time];
        for (part, number) in numbers.into_iter().enumerate() {
            let number =
                number.ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
            values.push((ROWS[*first as usize + part].setting, number));
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Settings {
        fn change<'a>(&self, changes: &[(&'a [u8], &[u8])]) -> Result<(), ConfigRefusal<'a>> {
            Settings::check(changes, &[]).map(|values| self.set_all(values))
        }
    }

    #[test]
    fn each_row_is_at_its_place() {
        assert!(ROWS.iter().enumerate().all(|(index, row)| row.setting as usize == index));
    }

    #[test]
    fn memory_has_units() {
        assert_eq!(parse_memory("100"), Some(100));
        assert_eq!(parse_memory("1K"), Some(1_000));
        assert_eq!(parse_memory("1kb"), Some(1_024));
        assert_eq!(parse_memory("2Gb"), Some(2 << 30));
        for wrong in ["", "kb", "-1", "1 kb", "1x", "99999999999999999999"] {
            assert_eq!(parse_memory(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn all_or_nothing_is_changed() {
        let settings = Settings::default();
        let text = |text: &str| ConfigRefusalReason::Text(text.to_owned());
        let change = |changes: &[(&'static str, &str)]| {
            let bytes: Vec<_> = changes.iter().map(|(name, to)| (name.as_bytes(), to.as_bytes())).collect();
            settings.change(&bytes).map_err(|refusal| refusal.reason)
        };
        assert_eq!(change(&[("timeout", "5"), ("nope", "1")]), Err(ConfigRefusalReason::Unknown));
        assert_eq!(change(&[("timeout", "5"), ("TIMEOUT", "6")]), Err(ConfigRefusalReason::Duplicate));
        assert_eq!(change(&[("timeout", "5"), ("databases", "6")]), Err(text("can't set immutable config")));
        assert_eq!(settings.get(Setting::Timeout), 0);
        assert_eq!(change(&[("timeout", "5"), ("Protected-Mode", "NO")]), Ok(()));
        assert_eq!((settings.get(Setting::Timeout), settings.flag(Setting::ProtectedMode)), (5000, false));
        assert_eq!(change(&[("client-output-buffer-limit", "pubsub 1mb 2k 3")]), Ok(()));
        let expected = OutputLimit { hard: 1 << 20, soft: 2_000, soft_millis: 3000 };
        assert_eq!(settings.output_limit(Setting::PushOutputLimit), expected);
        assert_eq!(settings.output_limits_text(), "normal 0 0 0 pubsub 1048576 2000 3");
        assert_eq!(change(&[("slowlog-log-slower-than", "-1")]), Ok(()));
        assert_eq!(settings.signed(Setting::SlowlogLogSlowerThan), -1);
    }

    #[test]
    fn a_time_keeps_its_milliseconds_and_is_shown_in_whole_seconds() {
        let settings = Settings::default();
        let shown = |name| settings.all().find(|(known, _)| *known == name).map(|(_, value)| value);
        for (nanos, millis, seconds) in
            [(1, 1, "1"), (200_000_000, 200, "1"), (1_000_000_000, 1000, "1"), (1_000_000_001, 1001, "2")]
        {
            settings.set(Setting::ShutdownTimeout, whole_millis(Duration::from_nanos(nanos)));
            assert_eq!(settings.time(Setting::ShutdownTimeout), Some(Duration::from_millis(millis)));
            assert_eq!(shown("shutdown-timeout").as_deref(), Some(seconds));
        }
        settings.set(Setting::ShutdownTimeout, whole_millis(Duration::MAX));
        assert!(settings.time(Setting::ShutdownTimeout) > Some(Duration::from_secs(u32::MAX.into())));
        assert_eq!(settings.change(&[(b"shutdown-timeout", b"2")]), Ok(()));
        assert_eq!(settings.time(Setting::ShutdownTimeout), Some(Duration::from_secs(2)));
    }

    #[test]
    fn the_time_of_a_soft_limit_keeps_its_milliseconds() {
        let settings = Settings::default();
        let limit = OutputLimit::hard(2).soft(1, Duration::from_millis(500));
        settings.set_all(limit.parts(Setting::NormalOutputLimit).collect());
        assert_eq!(settings.output_limit(Setting::NormalOutputLimit).soft_millis, 500);
        assert!(settings.output_limits_text().starts_with("normal 2 1 1 "));
        let too_long = format!("normal 0 1 {}", u64::MAX);
        settings
            .change(&[(b"client-output-buffer-limit", too_long.as_bytes())])
            .expect_err("too long a time");
    }
}
