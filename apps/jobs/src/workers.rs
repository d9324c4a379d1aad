//! The commands for workers.

use std::time::Instant;

use thegiant::{Responder, prelude::*};

use crate::{
    job::{Given, Id, Job, Place},
    server::{Jobs, Milliseconds},
    waiting::Want,
};

#[commands(rows = WORKERS, group = "jobs")]
impl Jobs {
    /// Gets jobs, as soon as there are any; before that, says what has become of the one before.
    #[command("GETJOB", write, blocking)]
    fn get_job(
        &mut self,
        options: GetOptions,
        responder: Responder<Option<Vec<Given>>>,
        context: &mut Context<Self>,
    ) {
        let client = responder.client().id();
        if self.waiting.is_pushed_to(client) {
            return responder.fail(IS_WORKER);
        }
        match options.outcome {
            Some(Outcome::Reply { id, result }) => drop(self.reply_job(id, result, context)),
            Some(Outcome::Fail { id, reason }) => drop(self.fail_job(id, &reason, context)),
            None => {}
        }
        let count = options.count.unwrap_or(1).max(1);
        let mut from = options.from.iter().map(|queue| self.take(queue, client, count));
        let given = from.find(|given| !given.is_empty()).unwrap_or_default();
        if !given.is_empty() || options.nohang {
            self.answer(responder, Some(given).filter(|given| !given.is_empty()));
        } else {
            let responder = match options.timeout {
                Some(timeout) if !timeout.0.is_zero() => responder.timeout(timeout.0, None),
                _ => responder,
            };
            self.waiting.add(client, options.from, Want::Reply { responder, count });
        }
        self.keep_time(context);
    }

    /// Has jobs of these queues pushed to this connection: `WORKER queue [queue ...] [WINDOW n]`.
    #[command("WORKER", write)]
    fn worker(
        &mut self,
        client: Client,
        queues: Vec<Bytes>,
        context: &mut Context<Self>,
    ) -> Result<(), Error> {
        let (queues, window) = with_window(queues)?;
        // What was pushed before the command is said again is not answered yet.
        let out = self.queues.of_client(client.id()).iter().filter(|(_, push)| push.is_some()).count();
        self.waiting.add(client.id(), queues.clone(), Want::Push { client, window, out });
        queues.iter().for_each(|queue| self.serve(queue));
        self.keep_time(context);
        Ok(())
    }

    /// Says that jobs are done; returns how many there were.
    #[command("ACKJOB", write)]
    fn ack_job(&mut self, ids: Vec<Id>, context: &mut Context<Self>) -> usize {
        let jobs: Vec<Job> =
            ids.into_iter().filter_map(|id| self.queues.finish(id, |counts| &mut counts.done)).collect();
        let count = jobs.len();
        for job in jobs {
            self.is_free(&job);
            job.answer(Err(NO_RESULT));
        }
        self.keep_time(context);
        count
    }

    /// Puts jobs back at the heads of their queues, to be tried again; returns how many were out.
    #[command("NACK", write)]
    fn nack(&mut self, ids: Vec<Id>, context: &mut Context<Self>) -> usize {
        let mut count = 0;
        for id in ids {
            let Some(job) = self.queues.get(id) else { continue };
            let Place::Out { client, push } = job.place else { continue };
            count += 1;
            let queue = self.queues.give_back(id, true, Instant::now());
            if push.is_some() {
                self.answered(client);
            }
            queue.iter().for_each(|queue| self.serve(queue));
        }
        self.keep_time(context);
        count
    }

    /// Gives the one who called the result; returns 1 if it was there to take it, else 0.
    #[command("REPLYJOB", write)]
    fn reply_job(&mut self, id: Id, result: Bytes, context: &mut Context<Self>) -> i64 {
        let Some(job) = self.queues.finish(id, |counts| &mut counts.done) else { return 0 };
        self.is_free(&job);
        self.keep_time(context);
        job.answer(Ok(Some(result))).into()
    }

    /// Tells the one who called that the job failed; returns 1 if it was there to hear it, else 0.
    #[command("FAILJOB", write)]
    fn fail_job(&mut self, id: Id, reason: &[u8], context: &mut Context<Self>) -> i64 {
        let Some(job) = self.queues.finish(id, |counts| &mut counts.failed) else { return 0 };
        self.is_free(&job);
        self.keep_time(context);
        job.answer(Err(Error::new("JOBFAILED", String::from_utf8_lossy(reason)))).into()
    }
}

impl Jobs {
    fn answer(&mut self, responder: Responder<Option<Vec<Given>>>, given: Option<Vec<Given>>) {
        // Nobody has had a look at what comes back.
        if let Err(Some(undelivered)) = responder.send(given) {
            for job in undelivered.into_iter().rev() {
                let queue = self.queues.give_back(job.id, false, Instant::now());
                queue.iter().for_each(|queue| self.serve(queue));
            }
        }
    }

    /// Whoever had this job may have another one.
    pub(crate) fn is_free(&mut self, job: &Job) {
        if let Place::Out { client, push: Some(_) } = job.place {
            self.answered(client);
        }
    }

    pub(crate) fn answered(&mut self, client: u64) {
        let queues = self.waiting.answered(client);
        queues.iter().for_each(|queue| self.serve(queue));
    }
}

/// The queues, and what stands behind them.
fn with_window(mut queues: Vec<Bytes>) -> Result<(Vec<Bytes>, usize), Error> {
    if let [_, .., word, number] = queues.as_slice()
        && word.eq_ignore_ascii_case(b"WINDOW")
    {
        let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
        let window = number.filter(|window| *window > 0).ok_or(NO_WINDOW)?;
        queues.truncate(queues.len() - 2);
        return Ok((queues, window));
    }
    Ok((queues, 1))
}

const IS_WORKER: Error =
    Error::from_static("ERR jobs are pushed to this connection, and cannot be asked for");
const NO_RESULT: Error = Error::from_static("JOBFAILED it was acknowledged without a result");
const NO_WINDOW: Error = Error::from_static("ERR a window is a number of jobs, at least 1");

/// `[REPLY id result | FAIL id reason] [NOHANG] [TIMEOUT ms] [COUNT n] FROM queue [queue ...]`
#[derive(Args)]
struct GetOptions {
    outcome: Option<Outcome>,
    nohang: bool,
    #[arg("TIMEOUT", name = "ms")]
    timeout: Option<Milliseconds>,
    #[arg("COUNT", name = "n")]
    count: Option<usize>,
    #[arg("FROM", name = "queue")]
    from: Vec<Bytes>,
}

/// What has become of a job: the same as `REPLYJOB` and `FAILJOB`, without an answer of its own.
#[derive(Args)]
enum Outcome {
    Reply { id: Id, result: Bytes },
    Fail { id: Id, reason: Bytes },
}
