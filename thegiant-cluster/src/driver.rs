//! Gives a member time, a store, a server and an application.

use std::{collections::BTreeSet, io, mem, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    Members, Partitions,
    frontend::Frontend,
    protocol::{Answer, Call, CallKind, Input, Machine, Output, Settings},
    store::AnyStore,
    watchdog::Watchdog,
};

/// Runs a [`Machine`].
pub(crate) struct Driver<P> {
    machine: Machine,
    lease: Duration,
    store: Arc<dyn AnyStore>,
    partitions: Rc<P>,
    frontend: Frontend,
    members: watch::Sender<Arc<Members>>,
    /// The calls of the store and of the application. The end of each is an input of the machine.
    tasks: JoinSet<Input>,
    start: Instant,
    /// The last call of the store has failed.
    is_cut_off: bool,
}

impl<P: Partitions> Driver<P> {
    pub(crate) fn new(
        settings: Settings,
        store: Arc<dyn AnyStore>,
        partitions: P,
        frontend: Frontend,
        members: watch::Sender<Arc<Members>>,
    ) -> Self {
        Driver {
            lease: settings.lease,
            machine: Machine::new(settings),
            store,
            partitions: Rc::new(partitions),
            frontend,
            members,
            tasks: JoinSet::new(),
            start: Instant::now(),
            is_cut_off: false,
        }
    }

    /// Runs until the member has left, after a request on `leave` or after an error.
    pub(crate) async fn run(mut self, leave: oneshot::Receiver<()>) -> io::Result<()> {
        self.tasks.spawn_local(async move {
            // Without a sender, the server has ended at once: nobody waits for this member.
            let _ = leave.await;
            Input::Leave
        });
        self.watch();
        let frontend = self.frontend.clone();
        // Without a cluster, the server serves nothing either.
        let watchdog = Watchdog::start(move || drop(frontend.serve(&BTreeSet::new())))?;
        let mut input = Input::Wake;
        loop {
            self.note(&input);
            for output in self.machine.step(self.start.elapsed(), input) {
                match output {
                    Output::Ended(result) => return result,
                    output => self.perform(output)?,
                }
            }
            self.guard(&watchdog)?;
            input = self.next().await?;
        }
    }

    /// Tells the watchdog when the lease ends. Serves again if the lease was renewed while the event loop was blocked.
    fn guard(&self, watchdog: &Watchdog) -> io::Result<()> {
        let service = self.machine.service();
        let was_stopped = watchdog.set(service.map(|(_, end)| (self.start + end).into_std()));
        match service {
            Some((served, _)) if was_stopped => self.frontend.serve(served),
            _ => Ok(()),
        }
    }

    /// Logs when the store fails, and when it is back. Waits for its next change after each one.
    fn note(&mut self, input: &Input) {
        let error = match input {
            Input::Answered(_, Answer::Failed(error)) => Some(error),
            Input::Answered(..) => None,
            Input::Changed => return self.watch(),
            _ => return,
        };
        let was_cut_off = mem::replace(&mut self.is_cut_off, error.is_some());
        match error {
            Some(error) if !was_cut_off => tracing::warn!(%error, "the store does not answer: tries again"),
            None if was_cut_off => tracing::info!("the store answers again"),
            _ => {}
        }
    }

    /// Waits for the next input.
    async fn next(&mut self) -> io::Result<Input> {
        let wake_at = self.machine.wake_at().map(|at| self.start + at);
        tokio::select! {
            () = sleep_until(wake_at.unwrap_or(self.start)), if wake_at.is_some() => Ok(Input::Wake),
            Some(input) = self.tasks.join_next() => input.map_err(io::Error::other),
        }
    }

    fn perform(&mut self, output: Output) -> io::Result<()> {
        match output {
            Output::Call(kind, call) => self.call(kind, call),
            Output::Serve(served) => self.frontend.serve(&served)?,
            Output::Open { partition, epoch } => {
                tracing::info!(partition, epoch, "opens a partition");
                let partitions = Rc::clone(&self.partitions);
                self.tasks.spawn_local(async move {
                    Input::Opened(partition, partitions.open(partition, epoch).await)
                });
            }
            Output::Close { partition } => {
                tracing::info!(partition, "closes a partition");
                let partitions = Rc::clone(&self.partitions);
                self.tasks.spawn_local(async move {
                    partitions.close(partition).await;
                    Input::Closed(partition)
                });
            }
            Output::Members(members) => {
                self.frontend.redirect(&members);
                self.members.send_replace(Arc::new(members));
            }
            Output::Ended(_) => {}
        }
        Ok(())
    }

    /// Calls the store, which has a third of the lease to answer.
    fn call(&mut self, kind: CallKind, call: Call) {
        let (store, limit) = (Arc::clone(&self.store), self.lease / 3);
        self.tasks.spawn_local(async move {
            let answer = async {
                match call {
                    Call::List => store.list().await.map(Answer::Listed),
                    Call::Swap { key, expected, value } => {
                        store.swap(&key, expected, value.as_deref()).await.map(Answer::Swapped)
                    }
                }
            };
            let answer = timeout(limit, answer).await;
            let answer =
                answer.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")));
            Input::Answered(kind, answer.unwrap_or_else(Answer::Failed))
        });
    }

    /// Waits for a change of the store. Further changes during a short pause are seen at the same time.
    fn watch(&mut self) {
        let (store, pause) = (Arc::clone(&self.store), self.lease / 50);
        self.tasks.spawn_local(async move {
            store.changed().await;
            sleep(pause).await;
            Input::Changed
        });
    }
}
