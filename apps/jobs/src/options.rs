//! The options of `ADDJOB`, `CALLJOB` and `SCHEDULE`.

use std::time::Duration;

use thegiant::{Milliseconds, prelude::*};

use crate::queues::JobOptions;

/// Returns the time of an option. A value of 0 means that the option is not set.
pub(crate) fn time(option: Option<Milliseconds>) -> Option<Duration> {
    option.map(Duration::from).filter(|time| !time.is_zero())
}

/// A priority from 0 to 9.
#[derive(Clone, Copy, Debug, Default, FromArg)]
#[arg(range = 0..=9, error = "PRIORITY must be from 0 to 9")]
pub(crate) struct Priority(pub(crate) u8);

/// `[RETRY ms] [TTL ms] [MAXLEN n] [MAXTRIES n] [KEEP ms] [PRIORITY n]`
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CommonOptions {
    #[arg("RETRY", name = "ms")]
    pub(crate) retry: Option<Milliseconds>,
    #[arg("TTL", name = "ms")]
    pub(crate) ttl: Option<Milliseconds>,
    #[arg("MAXLEN", name = "n")]
    pub(crate) maxlen: Option<u64>,
    #[arg("MAXTRIES", name = "n")]
    pub(crate) maxtries: Option<u32>,
    #[arg("KEEP", name = "ms")]
    pub(crate) keep: Option<Milliseconds>,
    #[arg("PRIORITY", name = "n")]
    pub(crate) priority: Option<Priority>,
}

impl CommonOptions {
    /// Returns the number of waiting jobs at which the queue is full.
    pub(crate) fn max_len(&self) -> Option<u64> {
        self.maxlen.filter(|max| *max > 0)
    }

    /// Returns the options of the next job.
    pub(crate) fn job_options(&self) -> JobOptions {
        JobOptions {
            retry: time(self.retry),
            ttl: time(self.ttl),
            max_tries: self.maxtries.filter(|max| *max > 0),
            keep: time(self.keep),
            priority: self.priority.unwrap_or_default().0,
            ..JobOptions::default()
        }
    }
}

/// `[DELAY ms] [ID name]`, and the common options.
#[derive(Args)]
pub(crate) struct AddOptions {
    #[arg("DELAY", name = "ms")]
    delay: Option<Milliseconds>,
    #[arg("ID")]
    name: Option<Bytes>,
    #[arg(flatten)]
    pub(crate) common: CommonOptions,
}

impl AddOptions {
    /// Converts the options of one job.
    pub(crate) fn into_job_options(self) -> JobOptions {
        JobOptions { delay: time(self.delay), name: self.name, ..self.common.job_options() }
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
    pub(crate) fn into_job_options(self, timeout: Milliseconds) -> JobOptions {
        JobOptions {
            ttl: time(Some(timeout)),
            name: self.name,
            keep: time(self.keep),
            priority: self.priority.unwrap_or_default().0,
            ..JobOptions::default()
        }
    }
}

/// `[TZ zone]`, and the common options.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ScheduleOptions {
    /// The name of the time zone.
    #[arg("TZ")]
    pub(crate) zone: Option<String>,
    #[arg(flatten)]
    pub(crate) common: CommonOptions,
}
