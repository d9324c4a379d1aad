//! The commands for schedules, and their firings.

use std::time::{Duration, Instant};

use thegiant::{now, prelude::*, slot};

use crate::{
    job::{Id, Job},
    options::ScheduleOptions,
    schedules::{Cron, Expression, Firing, Runs, Schedule},
    server::Jobs,
    storage::Storage,
};

/// Maximum time between two looks at the clock, which somebody may set, and which runs while the machine sleeps.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// A clock that is set back by more than this was wrong before, in milliseconds.
const SET_BACK: i64 = 60 * 60 * 1000;

#[commands(rows = SCHEDULING, group = "jobs")]
impl<S: Storage> Jobs<S> {
    /// Adds a job to a queue at each time of a cron expression.
    ///
    /// Returns 1, or 0 if it replaces a schedule.
    ///
    /// # Errors
    /// - `CROSSSLOT`: in a cluster, the name and the queue have different slots
    #[command("SCHEDULE", write)]
    fn schedule(
        &mut self,
        name: Bytes,
        cron: Expression,
        queue: Key,
        body: Bytes,
        options: ScheduleOptions,
        context: &mut Context<Self>,
    ) -> Result<bool, Error> {
        // Otherwise, UNSCHEDULE would not find the instance that has the schedule.
        if S::IS_PARTITION && slot(&name) != slot(queue.as_ref()) {
            return Err(CROSS_SLOT);
        }
        let cron = Cron::new(cron, options.zone.as_deref())?;
        // A firing whose time has come is not lost with the schedule that is replaced.
        self.fire_schedules(context);
        let next = cron.next(now()).ok_or(NEVER)?;
        let schedule = Schedule { cron, queue: queue.into(), body, options, next, runs: Runs::default() };
        let is_new = self.schedules.set(self.queues.shard().number, name, schedule)?;
        self.start_schedule_timer(context);
        Ok(is_new)
    }

    /// Removes schedules, and returns how many existed. Their jobs stay.
    #[command("UNSCHEDULE", write, split = "agg_sum")]
    fn unschedule(&mut self, #[key(not_key)] names: Vec<Key>) -> usize {
        names.iter().filter(|name| self.schedules.remove(name)).count()
    }

    /// Returns all schedules of this instance, with their next firings and their last jobs.
    #[command("SCHEDULES", readonly)]
    fn schedules(&self) -> Vec<Described> {
        self.schedules.all().into_iter().map(|(name, schedule)| Described::new(name, schedule)).collect()
    }
}

impl<S: Storage> Jobs<S> {
    /// Fires the schedules of this shard whose time has come, and starts the timer for the next one.
    fn fire_schedules(&mut self, context: &mut Context<Self>) {
        let (shard, now) = (self.queues.shard().number, now());
        if now < self.schedule_timer.seen - SET_BACK {
            self.schedules.restart(shard, now);
        }
        while let Some(Firing { name, schedule }) = self.schedules.take_due(shard, now) {
            let job = self.is_free(&schedule).then(|| {
                let (queue, body) = (schedule.queue.clone(), schedule.body);
                self.queues.add(queue, body, schedule.options.common.job_options(), Instant::now())
            });
            self.schedules.on_fired(&name, job);
            if job.is_some() {
                self.keyspace.modified(0, &schedule.queue);
                self.serve(&schedule.queue);
            }
        }
        self.update_timer(context);
        self.start_schedule_timer(context);
        self.write_changes(context);
    }

    /// Returns whether the last job of a schedule has ended, or is dead, and its queue is not full.
    fn is_free(&self, schedule: &Schedule) -> bool {
        let last = schedule.runs.job.and_then(|id| self.queues.get(id));
        last.is_none_or(Job::is_dead) && !self.is_full(&schedule.queue, schedule.options.common.max_len())
    }

    /// Starts the timer for the next firing of this shard.
    pub(crate) fn start_schedule_timer(&mut self, context: &mut Context<Self>) {
        let timer = &mut self.schedule_timer;
        if let Some(handle) = timer.handle.take() {
            context.cancel_future(handle);
        }
        let Some(next) = self.schedules.next(self.queues.shard().number) else { return };
        timer.seen = now();
        let wait = Duration::from_millis(u64::try_from(next - timer.seen).unwrap_or_default());
        timer.handle = Some(context.run_later(wait.min(MAX_WAIT), |this, context| {
            this.schedule_timer.handle = None;
            this.fire_schedules(context);
        }));
    }
}

/// A schedule in the reply of `SCHEDULES`.
#[derive(Reply)]
#[reply(rename_all = "kebab-case")]
struct Described {
    name: Bytes,
    cron: String,
    tz: String,
    queue: Bytes,
    body: Bytes,
    next_time: i64,
    added: u64,
    skipped: u64,
    job: Option<Id>,
}

impl Described {
    fn new(name: Bytes, schedule: Schedule) -> Self {
        let Schedule { cron, queue, body, next, runs, .. } = schedule;
        Described {
            name,
            cron: cron.expression().to_string(),
            tz: cron.zone().to_owned(),
            queue,
            body,
            next_time: next,
            added: runs.added,
            skipped: runs.skipped,
            job: runs.job,
        }
    }
}

const CROSS_SLOT: Error = Error::from_static(
    "CROSSSLOT in a cluster, the name of a schedule needs the slot of its queue: {mail}hourly for the queue mail",
);
const NEVER: Error = Error::from_static("ERR the cron expression never fires: no such day exists");

#[cfg(test)]
mod tests {
    use thegiant::test::{TestClient, TestServer};
    use tokio::time::{self, advance, sleep};

    use super::*;
    use crate::app;

    /// Starts a server with a paused clock, at a time far from a full second.
    async fn start() -> (TestServer, TestClient) {
        time::pause();
        let to_minute = 60_000 - now().rem_euclid(60_000);
        advance(Duration::from_millis(to_minute as u64 + 5500)).await;
        let server = TestServer::start(app(1));
        let client = server.connect();
        (server, client)
    }

    async fn ask(client: &mut TestClient, words: &str) -> Value {
        let words: Vec<_> = words.split(' ').map(|word| word.replace('_', " ")).collect();
        client.call(words).await
    }

    /// Returns the numbers of firings that added a job and that did not.
    async fn runs(client: &mut TestClient) -> (Value, Value) {
        (field(client, "added").await, field(client, "skipped").await)
    }

    /// Returns a field of the first schedule.
    async fn field(client: &mut TestClient, name: &str) -> Value {
        let all = ask(client, "SCHEDULES").await.into_vec().expect("an array");
        let fields = all.into_iter().next().and_then(Value::into_vec).expect("a schedule");
        let at = fields.iter().position(|field| field.as_str() == Some(name)).expect("a field");
        fields[at + 1].clone()
    }

    /// Takes all jobs, and returns their bodies.
    async fn take(client: &mut TestClient) -> Vec<String> {
        let taken = ask(client, "GETJOB NOHANG COUNT 1000 FROM q").await.into_vec().unwrap_or_default();
        let jobs = taken.into_iter().map(|job| job.into_vec().expect("a job"));
        let mut bodies = Vec::new();
        for job in jobs {
            bodies.push(job[2].as_str().expect("text").to_owned());
            client.call(["ACKJOB", job[1].as_str().expect("an id")]).await;
        }
        bodies
    }

    #[thegiant::test]
    async fn a_schedule_adds_a_job_at_each_firing() {
        let (_server, mut client) = start().await;
        assert_eq!(ask(&mut client, "SCHEDULE s *_*_*_*_* q tick").await, Value::Integer(1));
        assert_eq!(take(&mut client).await, [""; 0]);
        sleep(Duration::from_secs(54)).await;
        assert_eq!(take(&mut client).await, [""; 0]);
        for _ in 0..3 {
            sleep(Duration::from_secs(60)).await;
            assert_eq!(take(&mut client).await, ["tick"]);
        }
        // A worker that waits gets the job at once.
        let job = ask(&mut client, "GETJOB TIMEOUT 60000 FROM q").await;
        assert!(now().rem_euclid(60_000) < 1000 && job != Value::Null, "{job:?}");
        assert_eq!(ask(&mut client, "UNSCHEDULE s s other").await, Value::Integer(1));
        sleep(Duration::from_secs(600)).await;
        assert_eq!(take(&mut client).await, [""; 0]);
        assert_eq!(ask(&mut client, "SCHEDULES").await, Value::Array(vec![]));
    }

    #[thegiant::test]
    async fn a_firing_adds_no_job_while_the_last_one_has_not_ended() {
        let (_server, mut client) = start().await;
        ask(&mut client, "SCHEDULE s *_*_*_*_*_* q tick MAXTRIES 1").await;
        sleep(Duration::from_secs(10)).await;
        assert_eq!(runs(&mut client).await, (1.into(), 9.into()));
        // While a worker has it, too.
        let given = ask(&mut client, "GETJOB FROM q").await.into_vec().expect("a job");
        let id = given[0].clone().into_vec().expect("a job")[1].as_str().expect("an id").to_owned();
        assert_eq!(field(&mut client, "job").await.as_str(), Some(&*id));
        sleep(Duration::from_secs(10)).await;
        assert_eq!(runs(&mut client).await, (1.into(), 19.into()));
        // A dead job does not hold up the next one.
        client.call(["NACK", &id]).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(runs(&mut client).await, (2.into(), 19.into()));
        let info = ask(&mut client, "INFO jobs").await;
        let info = info.as_str().expect("text");
        assert!(
            info.contains("jobs_schedules:1\r\n") && info.contains("jobs_schedules_skipped:19\r\n"),
            "{info}"
        );
    }

    #[thegiant::test]
    async fn missed_firings_add_one_job() {
        let (_server, mut client) = start().await;
        ask(&mut client, "SCHEDULE s *_*_*_*_*_* q tick").await;
        ask(&mut client, "SCHEDULE t *_*_*_*_*_* q tock").await;
        // As if the process had slept: no timer fires in between.
        advance(Duration::from_secs(3600)).await;
        time::resume();
        let job = ask(&mut client, "GETJOB FROM q").await;
        assert_ne!(job, Value::Null);
        assert_eq!(runs(&mut client).await, (1.into(), 0.into()));
    }

    #[thegiant::test]
    async fn a_schedule_can_be_set_again() {
        let (_server, mut client) = start().await;
        assert_eq!(ask(&mut client, "SCHEDULE s *_*_*_*_* q old").await, Value::Integer(1));
        sleep(Duration::from_secs(60)).await;
        // Its last job counts, so a program can set its schedules whenever it starts.
        assert_eq!(ask(&mut client, "SCHEDULE s *_*_*_*_* q new PRIORITY 3").await, Value::Integer(0));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(runs(&mut client).await, (1.into(), 1.into()));
        assert_eq!(take(&mut client).await, ["old"]);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(take(&mut client).await, ["new"]);
    }

    #[thegiant::test]
    async fn the_jobs_have_the_options_of_the_schedule() {
        let (_server, mut client) = start().await;
        ask(&mut client, "SCHEDULE s *_*_*_*_* q low MAXLEN 2 KEEP 1000 RETRY 0 TTL 0").await;
        ask(&mut client, "SCHEDULE t *_*_*_*_* q high PRIORITY 9").await;
        ask(&mut client, "SCHEDULE u *_*_*_*_* q full MAXLEN 2").await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(take(&mut client).await, ["high", "low"]);
    }

    #[thegiant::test]
    async fn the_next_firing_is_shown_in_the_zone_of_the_schedule() {
        let (_server, mut client) = start().await;
        ask(&mut client, "SCHEDULE s 30_4_*_*_* q body TZ Asia/Kolkata").await;
        let Value::Integer(next) = field(&mut client, "next-time").await else { panic!("no time") };
        assert!(next > now() && next.rem_euclid(86_400_000) == 23 * 3_600_000, "{next}");
        assert_eq!(field(&mut client, "tz").await.as_str(), Some("Asia/Kolkata"));
        assert_eq!(field(&mut client, "cron").await.as_str(), Some("30 4 * * *"));
    }

    #[thegiant::test]
    async fn a_schedule_that_cannot_fire_is_an_error() {
        let (_server, mut client) = start().await;
        for (words, error) in [
            ("SCHEDULE s 0_0_30_2_* q body", NEVER),
            ("SCHEDULE s @daily q body ID name", Error::SYNTAX),
            ("SCHEDULE s @daily q body DELAY 5", Error::SYNTAX),
        ] {
            assert_eq!(ask(&mut client, words).await, Value::Error(error), "{words}");
        }
        assert_eq!(ask(&mut client, "SCHEDULES").await, Value::Array(vec![]));
    }
}
