//! The actor, and the commands for producers.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use actix::SpawnHandle;
use thegiant::{Disconnected, Keyspace, prelude::*};

use crate::{
    job::{Delivery, Id, JobState, Pushed},
    queues::{DueEffects, JobOptions, Queues, Totals},
    waiting::{Waiting, Want},
};

/// Interval between two removals of unused queues and wait lists.
const TIDY: Duration = Duration::from_secs(60);

/// The work queue, or one shard of it.
pub(crate) struct Jobs {
    pub(crate) queues: Queues,
    pub(crate) waiting: Waiting,
    totals: Arc<Totals>,
    /// Receives a notification for each queue that a command with ids has changed.
    pub(crate) keyspace: Keyspace,
    /// The timer for the earliest deadline.
    timer: Option<(Instant, SpawnHandle)>,
}

impl Actor for Jobs {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(TIDY, |this, _| {
            this.waiting.tidy();
            this.queues.tidy(|queue| this.waiting.is_wanted(queue));
            this.update_totals();
        });
    }
}

#[commands(include(WORKERS, INSPECTION), group = "jobs")]
impl Jobs {
    /// Adds a job to a queue, and returns its id.
    #[command("ADDJOB", write)]
    fn add_job(
        &mut self,
        queue: Key,
        body: Bytes,
        options: AddOptions,
        context: &mut Context<Self>,
    ) -> Result<Id, Error> {
        let queue = Bytes::from(queue);
        if let Some(max) = options.maxlen.filter(|max| *max > 0) {
            let counts = self.queues.queue(&queue).map(|queue| queue.counts).unwrap_or_default();
            if counts.ready + counts.delayed >= max {
                return Err(FULL);
            }
        }
        let id = self.queues.add(queue.clone(), body, options.job_options()?, Instant::now());
        self.serve(&queue);
        self.update_timer(context);
        Ok(id)
    }

    /// Adds a job to a queue and waits for its result.
    #[command("CALLJOB", write, blocking)]
    fn call_job(
        &mut self,
        queue: Key,
        body: Bytes,
        timeout: Milliseconds,
        responder: Responder<Result<Option<Bytes>, Error>>,
        context: &mut Context<Self>,
    ) {
        let queue = Bytes::from(queue);
        let ttl = Some(timeout.0).filter(|timeout| !timeout.is_zero());
        let caller = match ttl {
            Some(timeout) => responder.timeout(timeout, Ok(None)),
            None => responder,
        };
        let options = JobOptions { ttl, caller: Some(caller), ..JobOptions::default() };
        self.queues.add(queue.clone(), body, options, Instant::now());
        self.serve(&queue);
        self.update_timer(context);
    }
}

impl Jobs {
    pub(crate) fn new(queues: Queues, totals: Arc<Totals>, keyspace: Keyspace) -> Self {
        Jobs { queues, waiting: Waiting::default(), totals, keyspace, timer: None }
    }

    /// Delivers the jobs of a queue to the clients that wait for them.
    pub(crate) fn serve(&mut self, queue: &Bytes) {
        while let Some((client, want)) = self.waiting.first(queue) {
            let is_served = match want {
                Want::Push { client, .. } => {
                    let client = client.clone();
                    self.push(queue, &client)
                }
                Want::Reply { count, .. } => {
                    let count = *count;
                    self.reply(queue, client, count)
                }
            };
            if !is_served {
                break;
            }
        }
    }

    /// Pushes a job to a client. Returns `false` if no job is ready.
    fn push(&mut self, queue: &Bytes, client: &Client) -> bool {
        let (id, now) = (client.id(), Instant::now());
        let Some(job) = self.queues.take(queue, id, now) else { return false };
        match client.push(Pushed(job.delivery())) {
            Some(number) => {
                job.state = JobState::Out { client: id, push: Some(number) };
                self.waiting.on_pushed(queue, id);
            }
            // The client has disconnected, and its [`Disconnected`] message arrives soon.
            None => {
                let id = job.id;
                self.waiting.remove(client.id());
                self.queues.give_back(id, false, now);
            }
        }
        true
    }

    /// Replies to the `GETJOB` of a client. Returns `false` if no job is ready.
    fn reply(&mut self, queue: &Bytes, client: u64, count: usize) -> bool {
        let given = self.take(queue, client, count);
        if given.is_empty() {
            return false;
        }
        if let Some(Want::Reply { responder, .. }) = self.waiting.remove(client)
            && let Err(undelivered) = responder.send(Some(given))
        {
            let undelivered = undelivered.unwrap_or_default();
            let now = Instant::now();
            undelivered.into_iter().rev().for_each(|job| drop(self.queues.give_back(job.id, false, now)));
        }
        true
    }

    /// Takes at most `count` jobs of a queue for a client.
    pub(crate) fn take(&mut self, queue: &[u8], client: u64, count: usize) -> Vec<Delivery> {
        let now = Instant::now();
        let mut given = Vec::new();
        while given.len() < count
            && let Some(job) = self.queues.take(queue, client, now)
        {
            given.push(job.delivery());
        }
        given
    }

    /// Updates the totals, and starts the timer for the earliest deadline.
    pub(crate) fn update_timer(&mut self, context: &mut Context<Self>) {
        self.update_totals();
        let Some(next) = self.queues.next_deadline() else { return };
        // A timer that fires too early is restarted then. That is cheaper than to keep it exact.
        if self.timer.is_none_or(|(set, _)| next < set) {
            if let Some((_, timer)) = self.timer.take() {
                context.cancel_future(timer);
            }
            let wait = next.saturating_duration_since(Instant::now());
            self.timer = Some((next, context.run_later(wait, Self::handle_deadlines)));
        }
    }

    fn update_totals(&self) {
        let (jobs, queues) = self.queues.len();
        self.totals.jobs.store(jobs as u64, Relaxed);
        self.totals.queues.store(queues as u64, Relaxed);
        self.totals.waiting.store(self.waiting.len() as u64, Relaxed);
    }

    fn handle_deadlines(&mut self, context: &mut Context<Self>) {
        self.timer = None;
        let now = Instant::now();
        while let Some(DueEffects { queue, worker }) = self.queues.handle_due(now) {
            worker.into_iter().for_each(|worker| self.on_push_finished(worker));
            queue.iter().for_each(|queue| self.serve(queue));
        }
        self.update_timer(context);
    }
}

impl Handler<Disconnected> for Jobs {
    type Result = ();

    /// Returns the client's jobs to the heads of their queues, in their original order.
    ///
    /// A pushed job that was never sent does not count as tried.
    fn handle(&mut self, Disconnected(client): Disconnected, context: &mut Context<Self>) {
        self.waiting.remove(client.id());
        self.queues.forget_call(client.id());
        let (taken, now) = (client.pushes_taken(), Instant::now());
        let mut queues = Vec::new();
        for (id, push) in self.queues.of_client(client.id()).into_iter().rev() {
            let was_tried = push.is_none_or(|push| push <= taken);
            queues.extend(self.queues.give_back(id, was_tried, now));
        }
        queues.iter().for_each(|queue| self.serve(queue));
        self.update_timer(context);
    }
}

const FULL: Error = Error::from_static("MAXLEN the queue is full");
const TOO_LONG: Error = Error::from_static("ERR time in milliseconds is too large");

/// A time in milliseconds. It is at most a century, so that additions cannot overflow.
pub(crate) struct Milliseconds(pub(crate) Duration);

impl<'a> thegiant::FromArg<'a> for Milliseconds {
    const ARG: thegiant::command::ArgSpec =
        thegiant::command::ArgSpec::new(thegiant::command::ArgKind::Integer);

    fn from_arg(args: &mut thegiant::command::Arguments<'a>) -> Result<Self, Error> {
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
}

/// `[DELAY ms] [RETRY ms] [TTL ms] [MAXLEN n] [MAXTRIES n]`
#[derive(Args)]
struct AddOptions {
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
}

impl AddOptions {
    /// Converts the options. A value of 0 means that the option is not set.
    fn job_options(&self) -> Result<JobOptions, Error> {
        let time =
            |time: &Option<Milliseconds>| time.as_ref().map(|time| time.0).filter(|time| !time.is_zero());
        let max_tries = self.maxtries.filter(|max| *max > 0);
        Ok(JobOptions {
            delay: time(&self.delay),
            retry: time(&self.retry),
            ttl: time(&self.ttl),
            max_tries,
            caller: None,
        })
    }
}
