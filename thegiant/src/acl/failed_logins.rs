//! The failed logins of each address, which delay its next ones.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use actix_rt::time::Instant;

use crate::{client::Address, shrink::shrink_sparse};

/// Failures that delay nothing, so that people can mistype a password.
const FREE_FAILURES: u32 = 5;

/// The first delay. Each further failure doubles it.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// Delayed logins of an address at the same time.
///
/// Otherwise, one address could try a password on each of many connections during each delay.
const MAX_DELAYED: u32 = 32;

/// Time without a failure after which the failures of an address are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Maximum number of addresses. The older half is dropped then.
const MAX_SOURCES: usize = 10_000;

/// Time between two reports.
const REPORTED_EVERY: Duration = Duration::from_secs(60);

/// The failed logins of the last minutes, by the address of their clients.
#[derive(Debug, Default)]
pub(crate) struct FailedLogins {
    by_source: HashMap<LoginSource, Failures>,
    /// The number of failures that were not reported, and the time of the first one.
    unreported: Option<(u64, Instant)>,
}

/// The origin of a login: an IP address, or any unix socket.
///
/// The addresses of an IPv6 network of 64 bits are one, because a single host can have all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LoginSource(Option<IpAddr>);

/// The failed logins of one address.
#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
    /// The number of logins that are delayed now.
    delayed: u32,
    /// The number of failures since the last report.
    unreported: u32,
}

/// Says when the server may check a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginTurn {
    Now,
    After(Duration),
    /// Never: too many other logins of the address are delayed.
    Refused,
}

/// The failed logins since the last report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FailureReport {
    pub(crate) failures: u64,
    /// The address with most failures, and their number.
    pub(crate) worst: Option<(LoginSource, u32)>,
}

impl FailedLogins {
    /// Returns when the next login from this address may be checked.
    ///
    /// A delayed login ends with [`end_delay`](Self::end_delay).
    pub(crate) fn turn(&mut self, source: LoginSource, max_delay: Duration) -> LoginTurn {
        let is_remembered = |failures: &&mut Failures| failures.last.elapsed() < FORGOTTEN_AFTER;
        let Some(failures) = self.by_source.get_mut(&source).filter(is_remembered) else {
            return LoginTurn::Now;
        };
        if failures.count < FREE_FAILURES || max_delay.is_zero() {
            return LoginTurn::Now;
        }
        if failures.delayed >= MAX_DELAYED {
            return LoginTurn::Refused;
        }
        // A delayed login counts as a failure, because all of them may have been sent at once.
        let doublings = (failures.count - FREE_FAILURES).saturating_add(failures.delayed);
        failures.delayed += 1;
        LoginTurn::After(FIRST_DELAY.saturating_mul(2_u32.saturating_pow(doublings)).min(max_delay))
    }

    /// Ends the delay of a login.
    pub(crate) fn end_delay(&mut self, source: LoginSource) {
        if let Some(failures) = self.by_source.get_mut(&source) {
            failures.delayed = failures.delayed.saturating_sub(1);
        }
    }

    /// Counts a failed login.
    pub(crate) fn add(&mut self, source: LoginSource) {
        let now = Instant::now();
        self.unreported.get_or_insert((0, now)).0 += 1;
        if self.by_source.len() >= MAX_SOURCES && !self.by_source.contains_key(&source) {
            self.drop_older_half();
        }
        let new = || Failures { count: 0, last: now, delayed: 0, unreported: 0 };
        let failures = self.by_source.entry(source).or_insert_with(new);
        if now.duration_since(failures.last) >= FORGOTTEN_AFTER {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.unreported = failures.unreported.saturating_add(1);
        failures.last = now;
    }

    fn drop_older_half(&mut self) {
        let mut times: Vec<Instant> = self.by_source.values().map(|failures| failures.last).collect();
        let middle = times.len() / 2;
        let (_, &mut median, _) = times.select_nth_unstable(middle);
        self.by_source.retain(|_, failures| failures.last > median);
    }

    /// Returns a report a minute after the first failure that it contains.
    ///
    /// It is called once a second, and forgets old failures.
    pub(crate) fn take_report(&mut self) -> Option<FailureReport> {
        let (failures, since) = self.unreported?;
        if since.elapsed() < REPORTED_EVERY {
            return None;
        }
        let worst = self.by_source.iter().max_by_key(|(_, failures)| failures.unreported);
        let worst = worst.map(|(source, failures)| (*source, failures.unreported));
        self.unreported = None;
        self.by_source.retain(|_, failures| {
            failures.unreported = 0;
            failures.delayed > 0 || failures.last.elapsed() < FORGOTTEN_AFTER
        });
        shrink_sparse(&mut self.by_source);
        Some(FailureReport { failures, worst })
    }
}

impl From<&Address> for LoginSource {
    fn from(address: &Address) -> Self {
        LoginSource(address.ip().map(|ip| match ip {
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            ip => ip,
        }))
    }
}

impl fmt::Display for LoginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("a unix socket"),
            Some(ip @ IpAddr::V4(_)) => ip.fmt(f),
            Some(network) => write!(f, "{network}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, pause};

    use super::*;

    const MAX: Duration = Duration::from_secs(2);

    fn source(number: u32) -> LoginSource {
        LoginSource(Some(IpAddr::V4(number.into())))
    }

    fn after(millis: u64) -> LoginTurn {
        LoginTurn::After(Duration::from_millis(millis))
    }

    /// Fails until the next login would be delayed.
    fn use_free_failures(logins: &mut FailedLogins) {
        for _ in 0..FREE_FAILURES {
            assert_eq!(logins.turn(source(1), MAX), LoginTurn::Now);
            logins.add(source(1));
        }
    }

    #[thegiant::test]
    async fn each_failure_doubles_the_delay_of_its_address_for_a_minute() {
        pause();
        let mut logins = FailedLogins::default();
        use_free_failures(&mut logins);
        for millis in [100, 200, 400, 800, 1600, 2000, 2000] {
            assert_eq!(logins.turn(source(1), MAX), after(millis));
            logins.end_delay(source(1));
            logins.add(source(1));
            assert_eq!(logins.turn(source(2), MAX), LoginTurn::Now);
            assert_eq!(logins.turn(source(1), Duration::ZERO), LoginTurn::Now);
        }
        advance(Duration::from_secs(59)).await;
        assert_eq!(logins.turn(source(1), MAX), after(2000));
        logins.add(source(1));
        advance(Duration::from_secs(60)).await;
        assert_eq!(logins.turn(source(1), MAX), LoginTurn::Now);
        logins.end_delay(source(1));
        use_free_failures(&mut logins);
        assert_eq!(logins.turn(source(1), MAX), after(100));
    }

    #[thegiant::test]
    async fn logins_at_the_same_time_count_as_failures() {
        pause();
        let mut logins = FailedLogins::default();
        use_free_failures(&mut logins);
        let turns: Vec<_> = (0..MAX_DELAYED + 2).map(|_| logins.turn(source(1), MAX)).collect();
        assert_eq!(turns[..6], [100, 200, 400, 800, 1600, 2000].map(after));
        assert_eq!(turns[MAX_DELAYED as usize - 1], after(2000));
        assert_eq!(turns[MAX_DELAYED as usize..], [LoginTurn::Refused; 2]);
        logins.end_delay(source(1));
        assert_eq!(logins.turn(source(1), MAX), after(2000));
        assert_eq!(logins.turn(source(1), MAX), LoginTurn::Refused);
    }

    #[thegiant::test]
    async fn the_oldest_addresses_are_dropped_at_the_limit() {
        pause();
        let mut logins = FailedLogins::default();
        for number in 0..3 * MAX_SOURCES as u32 {
            logins.add(source(number));
            advance(Duration::from_millis(1)).await;
            assert!(logins.by_source.len() <= MAX_SOURCES);
        }
        let last = 3 * MAX_SOURCES as u32 - 1;
        assert!((last - 4000..=last).all(|number| logins.by_source.contains_key(&source(number))));
        // Many failures at one moment must not exceed it, either.
        for number in 0..3 * MAX_SOURCES as u32 {
            logins.add(source(number));
            assert!(logins.by_source.len() <= MAX_SOURCES);
        }
    }

    #[thegiant::test]
    async fn a_report_names_the_address_with_most_failures() {
        pause();
        let mut logins = FailedLogins::default();
        assert_eq!(logins.take_report(), None);
        for number in [1, 2, 2, 3] {
            logins.add(source(number));
        }
        advance(Duration::from_secs(59)).await;
        assert_eq!(logins.take_report(), None);
        logins.add(source(2));
        advance(Duration::from_secs(1)).await;
        let worst = Some((source(2), 3));
        assert_eq!(logins.take_report(), Some(FailureReport { failures: 5, worst }));
        assert_eq!(logins.by_source.len(), 1);
        advance(Duration::from_secs(60)).await;
        assert_eq!(logins.take_report(), None);
    }

    #[test]
    fn a_network_of_ipv6_and_all_unix_sockets_are_one_source() {
        let of = |ip: &str| {
            LoginSource::from(&Address::Tcp((ip.parse::<IpAddr>().expect("an address"), 1).into()))
        };
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        let unix = |path: &str| LoginSource::from(&Address::Unix(std::path::Path::new(path).into()));
        assert_eq!(unix("/a"), unix("/b"));
        assert_eq!(
            [of("2001:db8::1"), of("10.0.0.1"), unix("/a")].map(|source| source.to_string()),
            ["2001:db8::/64", "10.0.0.1", "a unix socket"]
        );
    }
}
