//! The actor, and the commands for producers.

use std::{
    mem,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use actix::SpawnHandle;
use thegiant::{Disconnected, Keyspace, Milliseconds, prelude::*};

use crate::{
    job::{Delivery, Id, JobPush, JobResult, JobState, Pushed},
    options::{AddOptions, CallOptions},
    queues::{DueEffects, Earlier, JobOptions, Queues, Return, Totals},
    schedules::Schedules,
    storage::{HeldPushes, NOT_SERVED, Storage},
    waiting::{Waiting, Want},
};

/// Interval between two removals of unused queues and wait lists.
const TIDY: Duration = Duration::from_secs(60);

/// The work queue, or one shard of it. `S` says where the jobs are.
pub(crate) struct Jobs<S> {
    pub(crate) queues: Queues,
    pub(crate) waiting: Waiting,
    totals: Arc<Totals>,
    /// Receives a notification for each queue that a command with ids has changed.
    pub(crate) keyspace: Keyspace,
    pub(crate) schedules: Arc<Schedules>,
    pub(crate) schedule_timer: ScheduleTimer,
    /// The timer for the earliest deadline.
    timer: Option<(Instant, SpawnHandle)>,
    pub(crate) storage: S,
    pub(crate) held: HeldPushes,
}

/// The timer for the next firing of a shard.
#[derive(Debug, Default)]
pub(crate) struct ScheduleTimer {
    pub(crate) handle: Option<SpawnHandle>,
    /// The time of the last look at the clock, in milliseconds since 1970.
    pub(crate) seen: i64,
}

impl<S: Storage> Actor for Jobs<S> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.start_timers(context);
        context.run_interval(TIDY, |this, context| {
            this.waiting.tidy();
            this.queues.tidy(|queue| this.waiting.is_wanted(queue), Instant::now());
            this.update_totals();
            this.write_changes(context);
        });
    }
}

#[commands(include(WORKERS, INSPECTION, SCHEDULING), group = "jobs", group_commit)]
impl<S: Storage> Jobs<S> {
    /// Adds a job to a queue, and returns its id.
    ///
    /// # Arguments
    /// - `DELAY` the time until the job becomes ready
    /// - `RETRY` the time after which another worker gets the job, unless the worker has finished it or sent `WORKING`
    /// - `TTL` the time after which the job is removed if no worker has taken it
    /// - `MAXLEN` the number of waiting jobs at which the queue is full
    /// - `MAXTRIES` the number of tries after which the job moves to the queue `dead:<queue>`
    /// - `ID` a name for the job: while it exists, or its result is kept, no other job with the name is added
    /// - `KEEP` the time for which the result is kept; by default 60,000 for a job with a name
    /// - `PRIORITY` from 0 to 9; workers get jobs of a higher priority first
    ///
    /// # Errors
    /// - `MAXLEN`: the queue is full
    #[command("ADDJOB", write)]
    fn add_job(
        &mut self,
        queue: Key,
        body: Bytes,
        options: AddOptions,
        context: &mut Context<Self>,
    ) -> Result<Id, Error> {
        let (queue, now) = (Bytes::from(queue), Instant::now());
        let max_len = options.common.max_len();
        let job = options.into_job_options();
        if let Some(earlier) = self.earlier(&queue, &job, now) {
            return Ok(match earlier {
                Earlier::Ended(id, _) => id,
                Earlier::Pending(id) => {
                    self.queues.join(id, None, job.ttl, now);
                    self.update_timer(context);
                    id
                }
            });
        }
        if self.is_full(&queue, max_len) {
            return Err(FULL);
        }
        let id = self.queues.add(queue.clone(), body, job, now);
        self.serve(&queue);
        self.update_timer(context);
        Ok(id)
    }

    /// Adds a job to a queue and waits for its result.
    ///
    /// The reply is null after the timeout.
    ///
    /// # Arguments
    /// - `timeout` in milliseconds; 0 waits for ever
    /// - `NOWAIT` an error at once if no worker listens on the queue
    /// - `ID` a name for the job: a second call with the name waits for the same job
    /// - `KEEP` the time for which the result is kept; by default 60,000 for a job with a name
    /// - `PRIORITY` from 0 to 9; workers get jobs of a higher priority first
    ///
    /// # Errors
    /// - `JOBFAILED`: the worker has sent this reason with `FAILJOB`
    /// - `NOWORKER`: no worker listens on the queue
    #[command("CALLJOB", write, blocking)]
    fn call_job(
        &mut self,
        queue: Key,
        body: Bytes,
        timeout: Milliseconds,
        options: CallOptions,
        responder: Responder<JobResult>,
        context: &mut Context<Self>,
    ) {
        let (queue, now) = (Bytes::from(queue), Instant::now());
        let is_nowait = options.nowait;
        let job = options.into_job_options(timeout);
        let earlier = self.earlier(&queue, &job, now);
        if let Some(Earlier::Ended(_, result)) = earlier {
            // A caller that has disconnected needs no result.
            return drop(responder.send(result));
        }
        if is_nowait && earlier.is_none() && !self.has_worker(&queue) {
            return responder.fail(NO_WORKER);
        }
        let caller = match job.ttl {
            Some(timeout) => responder.timeout(timeout, Ok(None)),
            None => responder,
        };
        if let Some(Earlier::Pending(id)) = earlier {
            self.queues.join(id, Some(caller), job.ttl, now);
        } else {
            self.queues.add(queue.clone(), body, JobOptions { caller: Some(caller), ..job }, now);
            self.serve(&queue);
        }
        self.update_timer(context);
        self.write_changes(context);
    }

    /// Returns the kept result of a job.
    ///
    /// # Errors
    /// - `JOBFAILED`: the worker has sent this reason with `FAILJOB`
    #[command("RESULT", readonly, fast)]
    fn result(&mut self, id: Key<Id>) -> JobResult {
        self.queues.result(*id, Instant::now()).unwrap_or(Ok(None))
    }
}

impl<S: Storage> Jobs<S> {
    pub(crate) fn new(
        queues: Queues,
        totals: Arc<Totals>,
        schedules: Arc<Schedules>,
        keyspace: Keyspace,
        storage: S,
    ) -> Self {
        let (waiting, schedule_timer) = (Waiting::default(), ScheduleTimer::default());
        let held = HeldPushes::default();
        Jobs { queues, waiting, totals, keyspace, schedules, schedule_timer, timer: None, storage, held }
    }

    /// Starts the timers of restored jobs and schedules, whose time may have come.
    pub(crate) fn start_timers(&mut self, context: &mut Context<Self>) {
        self.update_timer(context);
        self.start_schedule_timer(context);
        self.write_changes(context);
    }

    /// Discards all jobs and schedules, which stay in the database, and ends the waits of all clients.
    pub(crate) fn clear(&mut self, context: &mut Context<Self>) {
        let shard = self.queues.shard();
        let timers = [self.timer.take().map(|(_, timer)| timer), self.schedule_timer.handle.take()];
        for timer in timers.into_iter().flatten() {
            context.cancel_future(timer);
        }
        self.held = HeldPushes::default();
        self.schedules.discard(shard.number);
        mem::take(&mut self.waiting).fail(&NOT_SERVED);
        mem::replace(&mut self.queues, Queues::closed(shard)).fail_calls(&NOT_SERVED);
        self.update_totals();
    }

    /// Returns whether a worker listens on this queue, or has one of its jobs.
    fn has_worker(&self, queue: &[u8]) -> bool {
        let has_one = self.queues.queue(queue).is_some_and(|queue| queue.counts.out > 0);
        has_one || self.waiting.is_listened_to(queue)
    }

    /// Returns whether a queue has this number of waiting jobs.
    pub(crate) fn is_full(&self, queue: &[u8], max_len: Option<u64>) -> bool {
        let Some(max) = max_len else { return false };
        let counts = self.queues.queue(queue).map(|queue| queue.counts).unwrap_or_default();
        counts.ready + counts.delayed >= max
    }

    /// Returns the job that was added to this queue with the same name.
    fn earlier(&mut self, queue: &Bytes, job: &JobOptions, now: Instant) -> Option<Earlier> {
        self.queues.named(queue, job.name.as_ref()?, now)
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
        let push = match S::IS_DURABLE {
            true => {
                self.held.add(client, job.id);
                Some(JobPush::Held)
            }
            false => client.push(Pushed(job.delivery())).map(JobPush::Sent),
        };
        if push.is_some() {
            job.state = JobState::Out { client: id, push };
            self.waiting.on_pushed(queue, id);
        } else {
            let job = job.id;
            self.on_unpushable(client, job);
        }
        true
    }

    /// Returns a job to its queue whose client cannot take it.
    ///
    /// The client has disconnected, and its [`Disconnected`] message arrives soon; or it no longer uses RESP3.
    pub(crate) fn on_unpushable(&mut self, client: &Client, job: Id) {
        self.waiting.remove(client.id());
        self.queues.give_back(job, Return::Unseen, Instant::now());
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
            undelivered
                .into_iter()
                .rev()
                .for_each(|job| drop(self.queues.give_back(job.id, Return::Unseen, now)));
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
        self.write_changes(context);
    }
}

impl<S: Storage> Handler<Disconnected> for Jobs<S> {
    type Result = ();

    /// Returns the client's jobs to the heads of their queues, in their original order, or after their back-off.
    ///
    /// A pushed job that was never sent does not count as tried.
    fn handle(&mut self, Disconnected(client): Disconnected, context: &mut Context<Self>) {
        self.waiting.remove(client.id());
        self.queues.forget_call(client.id());
        let now = Instant::now();
        let mut queues = Vec::new();
        for (id, push) in self.queues.of_client(client.id()).into_iter().rev() {
            let was_tried = match push {
                None => true,
                Some(JobPush::Held) => false,
                Some(JobPush::Sent(push)) => client.has_taken(push),
            };
            let how = if was_tried { Return::Tried } else { Return::Unseen };
            queues.extend(self.queues.give_back(id, how, now));
        }
        queues.iter().for_each(|queue| self.serve(queue));
        self.update_timer(context);
        self.write_changes(context);
    }
}

const NO_WORKER: Error = Error::from_static("NOWORKER no worker listens on the queue");
const FULL: Error = Error::from_static("MAXLEN the queue is full");
