//! A cron expression with its time zone.

use croner::parser::{CronParser, Seconds, Year};
use jiff::{Timestamp, tz::TimeZone};
use thegiant::{Error, FromArg};

/// Maximum length of an expression, in bytes. One that lists each minute, hour and day has 320.
const MAX_LEN: usize = 512;

/// The names of expressions that croner knows.
const NICKNAMES: [&str; 6] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@hourly"];

/// A cron expression, as one argument.
#[derive(FromArg)]
#[arg(try_from = "&str")]
pub(crate) struct Expression(croner::Cron);

impl TryFrom<&str> for Expression {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let fields = text.split_whitespace().count();
        // croner takes an empty item for no value, and would look for a firing at no second up to the year 5000.
        let has_empty_item = text.split_whitespace().any(|field| field.split(',').any(str::is_empty));
        let is_nickname = NICKNAMES.iter().any(|name| name.eq_ignore_ascii_case(text));
        if !is_nickname && !matches!(fields, 5 | 6) || has_empty_item || text.len() > MAX_LEN {
            return Err(NOT_CRON);
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let invalid = |error| Error::err(format_args!("invalid cron expression: {error}"));
        parser.parse(text).map(Expression).map_err(invalid)
    }
}

/// A cron expression and the time zone in which it is read.
///
/// When clocks go forward, a firing at a skipped time of day comes right after the gap. When they go back, a
/// firing at a repeated time of day comes once.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    expression: croner::Cron,
    zone: TimeZone,
}

impl Cron {
    /// Adds a time zone to an expression: the zone of this name, or UTC.
    ///
    /// # Errors
    /// Returns an error if the system does not know the zone.
    pub(crate) fn new(Expression(expression): Expression, zone: Option<&str>) -> Result<Self, Error> {
        let zone = match zone {
            Some(name) => TimeZone::get(name).map_err(|_| UNKNOWN_ZONE)?,
            None => TimeZone::UTC,
        };
        Ok(Cron { expression, zone })
    }

    /// Returns the first firing after this time, in milliseconds since 1970. Returns `None` if there is none.
    pub(crate) fn next(&self, after: i64) -> Option<i64> {
        let after = Timestamp::from_millisecond(after).ok()?.to_zoned(self.zone.clone());
        let next = self.expression.find_next_occurrence(&after, false).ok()?;
        Some(next.timestamp()).filter(|next| *next > after.timestamp()).map(Timestamp::as_millisecond)
    }

    pub(crate) fn expression(&self) -> String {
        self.expression.as_str().to_owned()
    }

    pub(crate) fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

const NOT_CRON: Error = Error::from_static(
    "ERR a cron expression is one argument with five fields (minute hour day month weekday), or six with the second first, or \
     @hourly, @daily, @weekly, @monthly or @yearly",
);
const UNKNOWN_ZONE: Error = Error::from_static(
    "ERR unknown time zone: use UTC, or a name that the server's tzdata has, such as Europe/Berlin",
);

#[cfg(test)]
impl Cron {
    /// Returns an expression for the tests of this folder.
    pub(super) fn every_minute() -> Self {
        let expression = Expression::try_from("* * * * *").expect("a cron expression");
        Cron::new(expression, None).expect("a known zone")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(expression: &str, zone: Option<&str>) -> Result<Cron, Error> {
        Cron::new(Expression::try_from(expression)?, zone)
    }

    fn millis(time: &str) -> i64 {
        time.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    #[track_caller]
    fn fires(expression: &str, zone: &str, after: &str, firings: &[&str]) {
        let cron = cron(expression, Some(zone)).expect("a cron expression");
        let mut time = millis(after);
        for firing in firings {
            time = cron.next(time).expect("a firing");
            assert_eq!(Timestamp::from_millisecond(time).expect("a time").to_string(), *firing);
        }
    }

    #[test]
    fn an_expression_has_five_or_six_fields_or_a_name() {
        let after = "2026-11-29T20:00:00.5Z";
        fires("*/15 * * * *", "UTC", after, &["2026-11-29T20:15:00Z", "2026-11-29T20:30:00Z"]);
        fires("* * * * * *", "UTC", after, &["2026-11-29T20:00:01Z", "2026-11-29T20:00:02Z"]);
        fires(" @daily ", "UTC", after, &["2026-11-30T00:00:00Z"]);
        fires("0 9 * jan mon-fri", "UTC", after, &["2027-01-01T09:00:00Z", "2027-01-04T09:00:00Z"]);
        // A day counts if the day of the month or the weekday is right, as in Vixie cron.
        fires("0 0 1 * sun", "UTC", after, &["2026-12-01T00:00:00Z", "2026-12-06T00:00:00Z"]);
        fires("0 0 L * *", "UTC", "2028-02-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
    }

    #[test]
    fn an_expression_follows_the_clocks_of_its_zone() {
        fires(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            &[
                "2026-03-29T01:00:00Z", // 02:30 does not exist: right after the gap
                "2026-03-30T00:30:00Z",
            ],
        );
        fires(
            "30 2 * * *",
            "europe/berlin",
            "2026-10-24T12:00:00Z",
            &[
                "2026-10-25T00:30:00Z", // the first of both
                "2026-10-26T01:30:00Z",
            ],
        );
    }

    #[test]
    fn an_error_says_how_to_write_an_expression() {
        let error =
            |expression: &str, zone| cron(expression, zone).map(|_| ()).map_err(|error| error.to_string());
        for expression in [
            "",
            "* * * *",
            "* * * * * * *",
            "@reboot",
            "@every 5s",
            ", * * * * *",
            "1, * * * *",
            "1,,2 * * * *",
            &"* ".repeat(600),
        ] {
            assert_eq!(error(expression, None), Err(NOT_CRON.to_string()), "{expression}");
        }
        for (expression, reason) in [
            ("60 * * * *", "Component error: Number out of bounds."),
            ("5-1 * * * *", "Component error: Range out of bounds."),
        ] {
            let expected = format!("ERR invalid cron expression: {reason}");
            assert_eq!(error(expression, None), Err(expected), "{expression}");
        }
        for zone in ["", "Mars/Olympus", "../../../etc/passwd", "/etc/localtime"] {
            assert_eq!(error("@daily", Some(zone)), Err(UNKNOWN_ZONE.to_string()), "{zone}");
        }
    }

    #[test]
    fn an_expression_may_never_fire() {
        for expression in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
            let cron = cron(expression, None).expect("a cron expression");
            assert_eq!(cron.next(millis("2026-11-29T20:00:00Z")), None, "{expression}");
        }
    }
}
