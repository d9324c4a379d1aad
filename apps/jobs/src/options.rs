//! The options of `ADDJOB`, `CALLJOB` and `SCHEDULE`.

use std::time::Duration;

use thegiant::{
    FromArg,
    command::{ArgKind, ArgSpec, Arguments},
    prelude::*,
};

use crate::queues::JobOptions;

const TOO_LONG: Error = Error::from_static("ERR time in milliseconds is too large");

/// A time in milliseconds. It is at most a century, so that additions cannot overflow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Milliseconds(pub(crate) Duration);

impl<'a> FromArg<'a> for Milliseconds {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Integer);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        Self::of(u64::from_arg(args)?)
    }
}

impl Milliseconds {
    const CENTURY: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

    fn of(milliseconds: u64) -> Result<Self, Error> {
        if milliseconds > Self::CENTURY {
            Err(TOO_LONG)
        } else {
            Ok(Milliseconds(Duration::from_millis(milliseconds)))
        }
    }

    /// Returns the time of an option. A value of 0 means that the option is not set.
    pub(crate) fn of_option(option: Option<&Self>) -> Option<Duration> {
        option.map(|time| time.0).filter(|time| !time.is_zero())
    }
}

/// A priority from 0 to 9.
#[derive(Clone, Copy, Debug, Default)]
struct Priority(u8);

impl<'a> FromArg<'a> for Priority {
    const ARG: ArgSpec = ArgSpec::new(ArgKind::Integer);

    fn from_arg(args: &mut Arguments<'a>) -> Result<Self, Error> {
        u8::try_from(u64::from_arg(args)?)
            .ok()
            .filter(|priority| *priority <= 9)
            .map(Priority)
            .ok_or(INVALID_PRIORITY)
    }
}

const INVALID_PRIORITY: Error = Error::from_static("ERR PRIORITY must be from 0 to 9");

/// `[DELAY ms] [RETRY ms] [TTL ms] [MAXLEN n] [MAXTRIES n] [ID name] [KEEP ms] [PRIORITY n]`
#[derive(Args)]
pub(crate) struct AddOptions {
    #[arg("DELAY", name = "ms")]
    delay: Option<Milliseconds>,
    #[arg("RETRY", name = "ms")]
    retry: Option<Milliseconds>,
    #[arg("TTL", name = "ms")]
    ttl: Option<Milliseconds>,
    #[arg("MAXLEN", name = "n")]
    maxlen: Option<u64>,
    #[arg("MAXTRIES", name = "n")]
    maxtries: Option<u32>,
    #[arg("ID")]
    name: Option<Bytes>,
    #[arg("KEEP", name = "ms")]
    keep: Option<Milliseconds>,
    #[arg("PRIORITY", name = "n")]
    priority: Option<Priority>,
}

impl AddOptions {
    /// Returns the number of waiting jobs at which the queue is full.
    pub(crate) fn max_len(&self) -> Option<u64> {
        self.maxlen.filter(|max| *max > 0)
    }

    /// Converts the options of one job.
    pub(crate) fn into_job_options(self) -> JobOptions {
        JobOptions {
            delay: Milliseconds::of_option(self.delay.as_ref()),
            retry: Milliseconds::of_option(self.retry.as_ref()),
            ttl: Milliseconds::of_option(self.ttl.as_ref()),
            max_tries: self.maxtries.filter(|max| *max > 0),
            name: self.name,
            keep: Milliseconds::of_option(self.keep.as_ref()),
            priority: self.priority.unwrap_or_default().0,
            caller: None,
        }
    }
}

/// `[NOWAIT] [ID name] [KEEP ms] [PRIORITY n]`
#[derive(Args)]
pub(crate) struct CallOptions {
    pub(crate) nowait: bool,
    #[arg("ID")]
    name: Option<Bytes>,
    #[arg("KEEP", name = "ms")]
    keep: Option<Milliseconds>,
    #[arg("PRIORITY", name = "n")]
    priority: Option<Priority>,
}

impl CallOptions {
    /// Converts the options of one job. The timeout of the call ends the job, too.
    pub(crate) fn into_job_options(self, timeout: &Milliseconds) -> JobOptions {
        JobOptions {
            ttl: Milliseconds::of_option(Some(timeout)),
            name: self.name,
            keep: Milliseconds::of_option(self.keep.as_ref()),
            priority: self.priority.unwrap_or_default().0,
            ..JobOptions::default()
        }
    }
}

/// `[TZ zone] [RETRY ms] [TTL ms] [MAXLEN n] [MAXTRIES n] [KEEP ms] [PRIORITY n]`
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ScheduleOptions {
    #[arg("TZ")]
    zone: Option<String>,
    #[arg("RETRY", name = "ms")]
    retry: Option<Milliseconds>,
    #[arg("TTL", name = "ms")]
    ttl: Option<Milliseconds>,
    #[arg("MAXLEN", name = "n")]
    maxlen: Option<u64>,
    #[arg("MAXTRIES", name = "n")]
    maxtries: Option<u32>,
    #[arg("KEEP", name = "ms")]
    keep: Option<Milliseconds>,
    #[arg("PRIORITY", name = "n")]
    priority: Option<Priority>,
}

impl ScheduleOptions {
    /// Returns the name of the time zone.
    pub(crate) fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Returns the number of waiting jobs at which the queue is full.
    pub(crate) fn max_len(&self) -> Option<u64> {
        self.maxlen.filter(|max| *max > 0)
    }

    /// Returns the options of the next job.
    pub(crate) fn job_options(&self) -> JobOptions {
        JobOptions {
            retry: Milliseconds::of_option(self.retry.as_ref()),
            ttl: Milliseconds::of_option(self.ttl.as_ref()),
            max_tries: self.maxtries.filter(|max| *max > 0),
            keep: Milliseconds::of_option(self.keep.as_ref()),
            priority: self.priority.unwrap_or_default().0,
            ..JobOptions::default()
        }
    }
}
