//! The commands for workers.

use std::time::Instant;

use thegiant::{Milliseconds, Responder, prelude::*};

use crate::{
    job::{Delivery, Id, Job, JobResult, JobState},
    options::time,
    queues::{Counts, NotHeld, Return},
    server::Jobs,
    shard::Shard,
    storage::Storage,
    waiting::Want,
};

#[commands(rows = WORKERS, group = "jobs")]
impl<S: Storage> Jobs<S> {
    /// Returns jobs as soon as a queue has some.
    ///
    /// If an outcome is given, it first finishes the previous job. A job is its queue, its id, its body and the number of
    /// earlier tries. The reply is null after the timeout.
    ///
    /// # Arguments
    /// - `REPLY` the result of the previous job
    /// - `FAIL` the reason why the previous job has failed
    /// - `TRY` discards the outcome unless the job has this number of tries
    /// - `NOHANG` returns at once if no job is ready
    /// - `TIMEOUT` the longest time to wait, in milliseconds
    /// - `COUNT` the maximum number of jobs
    /// - `FROM` the queues; an earlier one comes first
    #[command("GETJOB", write, blocking)]
    fn get_job(
        &mut self,
        options: GetOptions,
        responder: Responder<Option<Vec<Delivery>>>,
        context: &mut Context<Self>,
    ) {
        let client = responder.client().id();
        if self.waiting.is_pushed_to(client) || self.is_worker_elsewhere(responder.client()) {
            return responder.fail(IS_WORKER);
        }
        let GetOptions { outcome, tried, nohang, timeout, count, from } = options;
        let ended = outcome.map_or(Ok(()), |outcome| self.end_previous(outcome, tried, context));
        if let Err(error) = ended {
            return responder.fail(error);
        }
        let count = count.unwrap_or(1).max(1);
        let mut taken = from.iter().map(|queue| self.take(queue, client, count));
        let given = taken.find(|given| !given.is_empty());
        if given.is_some() || nohang {
            self.answer(responder, given);
        } else {
            let responder = match timeout {
                Some(timeout) if !timeout.0.is_zero() => responder.timeout(timeout.0, None),
                _ => responder,
            };
            let queues = from.into_iter().map(Bytes::from).collect();
            self.waiting.add(client, queues, Want::Reply { responder, count });
            self.write_changes(context);
        }
        self.update_timer(context);
    }

    /// Pushes jobs of these queues to this connection: `WORKER queue [queue ...] [WINDOW n]`.
    ///
    /// The first queue decides which shard runs it.
    #[command("WORKER", write)]
    fn worker(
        &mut self,
        client: Client,
        queue: Key,
        queues: Option<Vec<Bytes>>,
        context: &mut Context<Self>,
    ) -> Result<(), Error> {
        let all = [queue.into()].into_iter().chain(queues.unwrap_or_default()).collect();
        let (queues, window) = with_window(all)?;
        let shard = self.queues.shard();
        if !queues.iter().all(|queue| shard.has_queue(queue)) || self.is_worker_elsewhere(&client) {
            return Err(Error::CROSS_SLOT);
        }
        if !client.can_receive_pushes() {
            return Err(NEEDS_RESP3);
        }
        if shard.has_others() {
            client.attach(WorkerOf(shard));
        }
        // Jobs that an earlier `WORKER` command pushed still count towards the window.
        let out = self.queues.of_client(client.id()).iter().filter(|(_, push)| push.is_some()).count();
        self.waiting.add(client.id(), queues.clone(), Want::Push { client, window, out });
        queues.iter().for_each(|queue| self.serve(queue));
        self.update_timer(context);
        Ok(())
    }

    /// Marks jobs as done, and returns how many existed.
    #[command("ACKJOB", write, split = "agg_sum")]
    fn ack_job(&mut self, ids: Vec<Key<Id>>, context: &mut Context<Self>) -> usize {
        let jobs: Vec<Job> =
            ids.into_iter().filter_map(|Key(id)| self.queues.finish(id, |counts| &mut counts.done)).collect();
        let count = jobs.len();
        for job in jobs {
            self.on_finished(&job);
            self.conclude(job, Err(NO_RESULT));
        }
        self.update_timer(context);
        count
    }

    /// Returns jobs to their queues for another try, and returns how many workers had.
    #[command("NACK", write, split = "agg_sum")]
    fn nack(&mut self, ids: Vec<Key<Id>>, context: &mut Context<Self>) -> usize {
        self.return_all(ids, Return::Tried, context)
    }

    /// Returns jobs to their queues after a delay, and returns how many workers had.
    #[command("NACK DELAY", write, split = "agg_sum")]
    fn nack_delay(&mut self, ms: Milliseconds, ids: Vec<Key<Id>>, context: &mut Context<Self>) -> usize {
        self.return_all(ids, Return::TriedAfter(ms.0), context)
    }

    /// Gives a worker more time for a job, and returns the time.
    ///
    /// The reply is in milliseconds, or 0 if the worker has no limit.
    ///
    /// # Arguments
    /// - `milliseconds` without it, the `RETRY` time begins again
    ///
    /// # Errors
    /// - `NOJOB`: another worker has the job, or none
    #[command("WORKING", write, fast)]
    fn working(
        &mut self,
        client: &Client,
        id: Key<Id>,
        milliseconds: Option<Milliseconds>,
        context: &mut Context<Self>,
    ) -> Result<u64, Error> {
        let lease = time(milliseconds);
        let lease = self.queues.extend(*id, client.id(), lease, Instant::now()).map_err(|NotHeld| NO_JOB)?;
        self.update_timer(context);
        Ok(lease.map_or(0, |lease| lease.as_millis() as u64))
    }

    /// Sends the result to the callers. Returns 1 if a caller still waits, else 0.
    ///
    /// # Arguments
    /// - `TRY` refuses the result unless the job has this number of tries
    ///
    /// # Errors
    /// - `OLDTRY`: the job has another number of tries
    #[command("REPLYJOB", write)]
    fn reply_job(
        &mut self,
        id: Key<Id>,
        result: Bytes,
        tried: Try,
        context: &mut Context<Self>,
    ) -> Result<i64, Error> {
        self.end_job(*id, tried, Ok(Some(result)), context).map(i64::from)
    }

    /// Sends a failure to the callers. Returns 1 if a caller still waits, else 0.
    ///
    /// # Arguments
    /// - `TRY` refuses the reason unless the job has this number of tries
    ///
    /// # Errors
    /// - `OLDTRY`: the job has another number of tries
    #[command("FAILJOB", write)]
    fn fail_job(
        &mut self,
        id: Key<Id>,
        reason: &[u8],
        tried: Try,
        context: &mut Context<Self>,
    ) -> Result<i64, Error> {
        self.end_job(*id, tried, Err(failure(reason)), context).map(i64::from)
    }
}

/// Attached to a client that receives pushes, if there are several shards.
struct WorkerOf(Shard);

impl<S: Storage> Jobs<S> {
    /// Returns jobs to their queues, and returns how many workers had.
    fn return_all(&mut self, ids: Vec<Key<Id>>, how: Return, context: &mut Context<Self>) -> usize {
        let mut count = 0;
        for Key(id) in ids {
            let Some(job) = self.queues.get(id) else { continue };
            let JobState::Out { client, push } = job.state else { continue };
            count += 1;
            self.keyspace.modified(0, &job.queue);
            let queue = self.queues.give_back(id, how, Instant::now());
            if push.is_some() {
                self.on_push_finished(client);
            }
            queue.iter().for_each(|queue| self.serve(queue));
        }
        self.update_timer(context);
        count
    }

    /// Returns whether a client receives pushes from another shard.
    fn is_worker_elsewhere(&self, client: &Client) -> bool {
        let shard = self.queues.shard();
        shard.has_others() && client.attached::<WorkerOf>().is_some_and(|worker| worker.0 != shard)
    }

    fn answer(&mut self, responder: Responder<Option<Vec<Delivery>>>, given: Option<Vec<Delivery>>) {
        // No worker has seen these jobs, so their delivery does not count as a try.
        if let Err(Some(undelivered)) = responder.send(given) {
            for job in undelivered.into_iter().rev() {
                let queue = self.queues.give_back(job.id, Return::Unseen, Instant::now());
                queue.iter().for_each(|queue| self.serve(queue));
            }
        }
    }

    /// Ends the previous job of a worker, which gets the next one even if there is no such job.
    ///
    /// # Errors
    /// Refuses an outcome whose job is with another shard.
    fn end_previous(
        &mut self,
        outcome: Outcome,
        tried: Option<u32>,
        context: &mut Context<Self>,
    ) -> Result<(), Error> {
        let (id, result) = match outcome {
            Outcome::Reply { id, result } => (id, Ok(Some(result))),
            Outcome::Fail { id, reason } => (id, Err(failure(&reason))),
        };
        if self.queues.is_elsewhere(id) {
            return Err(Error::CROSS_SLOT);
        }
        drop(self.end_job(id, Try { number: tried }, result, context));
        Ok(())
    }

    /// Ends a job. Returns whether a caller still waited for the result.
    ///
    /// # Errors
    /// Refuses the result of an earlier try.
    fn end_job(
        &mut self,
        id: Id,
        tried: Try,
        result: JobResult,
        context: &mut Context<Self>,
    ) -> Result<bool, Error> {
        let is_current = |job: &Job| tried.number.is_none_or(|number| number == job.tries);
        if self.queues.get(id).is_some_and(|job| !is_current(job)) {
            return Err(OLD_TRY);
        }
        let outcome: fn(&mut Counts) -> &mut u64 =
            if result.is_ok() { |counts| &mut counts.done } else { |counts| &mut counts.failed };
        let Some(job) = self.queues.finish(id, outcome) else { return Ok(false) };
        self.on_finished(&job);
        self.update_timer(context);
        Ok(self.conclude(job, result))
    }

    /// Sends the result of a job to its callers, and keeps it. Returns whether a caller still waited for it.
    fn conclude(&mut self, job: Job, result: JobResult) -> bool {
        self.queues.keep_result(&job, &result, Instant::now());
        job.answer(result)
    }

    /// Delivers another job to the worker that had this job, if the job was pushed.
    pub(crate) fn on_finished(&mut self, job: &Job) {
        self.keyspace.modified(0, &job.queue);
        if let JobState::Out { client, push: Some(_) } = job.state {
            self.on_push_finished(client);
        }
    }

    pub(crate) fn on_push_finished(&mut self, client: u64) {
        let queues = self.waiting.on_push_finished(client);
        queues.iter().for_each(|queue| self.serve(queue));
    }
}

/// Returns the result of a job that has failed.
fn failure(reason: &[u8]) -> Error {
    Error::new("JOBFAILED", String::from_utf8_lossy(reason))
}

/// Splits the arguments into the queues and the window.
fn with_window(mut queues: Vec<Bytes>) -> Result<(Vec<Bytes>, usize), Error> {
    if let [_, .., word, number] = queues.as_slice()
        && word.eq_ignore_ascii_case(b"WINDOW")
    {
        let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
        let window = number.filter(|window| *window > 0).ok_or(INVALID_WINDOW)?;
        queues.truncate(queues.len() - 2);
        return Ok((queues, window));
    }
    Ok((queues, 1))
}

const NEEDS_RESP3: Error =
    Error::from_static("ERR WORKER needs RESP3, which has pushes: send HELLO 3 first, or use GETJOB");
const IS_WORKER: Error =
    Error::from_static("ERR GETJOB is not allowed on a connection that receives pushed jobs");
const NO_RESULT: Error = Error::from_static("JOBFAILED the job was acknowledged without a result");
const NO_JOB: Error = Error::from_static("NOJOB this connection does not have the job");
const OLD_TRY: Error = Error::from_static("OLDTRY this try of the job is over");
const INVALID_WINDOW: Error = Error::from_static("ERR WINDOW must be at least 1");

/// `[TRY n]`: the number of tries with which the worker got the job.
#[derive(Args)]
struct Try {
    #[arg("TRY", name = "n")]
    number: Option<u32>,
}

/// `[REPLY id result | FAIL id reason] [TRY n] [NOHANG] [TIMEOUT ms] [COUNT n] FROM queue [queue ...]`
#[derive(Args)]
struct GetOptions {
    outcome: Option<Outcome>,
    #[arg("TRY", name = "n")]
    tried: Option<u32>,
    nohang: bool,
    #[arg("TIMEOUT", name = "ms")]
    timeout: Option<Milliseconds>,
    #[arg("COUNT", name = "n")]
    count: Option<usize>,
    #[arg("FROM", name = "queue")]
    from: Vec<Key>,
}

/// The outcome of a job: like `REPLYJOB` and `FAILJOB`, but without a reply.
#[derive(Args)]
enum Outcome {
    Reply { id: Id, result: Bytes },
    Fail { id: Id, reason: Bytes },
}
