//! Machines, a store, and everything that can go wrong between them.

use std::{collections::BTreeMap, io, time::Duration};

use super::{
    LEASE,
    node::{Clock, Node},
    random::Random,
};
use crate::{
    memory::Entries,
    protocol::{Answer, Call, CallKind, Input, Output},
};

pub(super) struct World {
    now: Duration,
    events: BTreeMap<(Duration, u64), Event>,
    last_number: u64,
    pub(super) random: Random,
    pub(super) nodes: Vec<Node>,
    store: Entries,
    /// Until then, nothing reaches the store.
    store_is_down_until: Duration,
    /// Requests are lost, and everything takes its time.
    pub(super) is_disturbed: bool,
    /// The epoch of each partition that its database accepts.
    fences: Vec<u64>,
    /// The epoch of the last attempt to open each partition.
    attempts: Vec<u64>,
    pub(super) seen: Seen,
}

/// Counts of events, so that a test knows that it tests something.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) opens: u32,
    pub(super) commits: u32,
    pub(super) refused_commits: u32,
    pub(super) late_effects: u32,
    pub(super) failures: u32,
    pub(super) violations: Vec<String>,
}

/// Something that happens to a process.
#[derive(Debug)]
enum Event {
    /// A request reaches the store.
    AtStore {
        process: Target,
        kind: CallKind,
        id: u64,
        call: Call,
    },
    /// A write of a process reaches the database.
    AtDatabase {
        partition: u16,
        epoch: u64,
    },
    ToProcess {
        process: Target,
        message: Message,
    },
    Start {
        node: usize,
    },
}

/// A process of a machine.
#[derive(Clone, Copy, Debug)]
struct Target {
    node: usize,
    process: u64,
}

#[derive(Debug)]
enum Message {
    /// The time has come that the machine has named, if it was not told something else since.
    Wake {
        number: u64,
    },
    Answer {
        kind: CallKind,
        id: u64,
        answer: Answer,
    },
    Opened {
        partition: u16,
        epoch: u64,
    },
    Closed {
        partition: u16,
    },
    Leave,
}

impl World {
    /// Creates a world in which no process runs.
    ///
    /// `drift`: how many percent the clocks are faster or slower than that of the world.
    pub(super) fn new(seed: u64, names: &[&'static str], partitions: u16, drift: u32) -> Self {
        let mut random = Random(seed);
        let mut node = |(index, name): (usize, &&'static str)| {
            let offset = random.millis(1, 1_000_000);
            let drift = drift * 10_000;
            let rate = 1_000_000 - drift + random.below(u64::from(2 * drift) + 1) as u32;
            Node::new(index, name, Clock { offset, rate })
        };
        World {
            nodes: names.iter().enumerate().map(&mut node).collect(),
            now: Duration::ZERO,
            events: BTreeMap::new(),
            last_number: 0,
            random,
            store: Entries::default(),
            store_is_down_until: Duration::ZERO,
            is_disturbed: true,
            fences: vec![0; usize::from(partitions)],
            attempts: vec![0; usize::from(partitions)],
            seen: Seen::default(),
        }
    }

    /// Lets time pass. After each step, no partition may have two owners.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= end
        {
            let ((at, _), event) = entry.remove_entry();
            self.now = self.now.max(at);
            let is_step = matches!(event, Event::ToProcess { .. });
            self.happen(event);
            if is_step {
                self.check();
                self.write();
            }
        }
        self.now = end;
    }

    pub(super) fn start(&mut self, node: usize) {
        if self.nodes[node].process.is_none() {
            let id = self.number();
            self.nodes[node].start(id, self.fences.len() as u16);
            self.wake(Duration::ZERO, Target { node, process: id });
        }
    }

    pub(super) fn crash(&mut self, node: usize) {
        self.nodes[node].process = None;
    }

    pub(super) fn pause(&mut self, node: usize, time: Duration) {
        if let Some(process) = &mut self.nodes[node].process {
            process.paused_until = Some(self.now + time);
            let process = Target { node, process: process.id };
            self.wake(time, process);
        }
    }

    pub(super) fn leave(&mut self, node: usize) {
        if let Some(process) = &self.nodes[node].process {
            let process = Target { node, process: process.id };
            self.send(Duration::ZERO, process, Message::Leave);
        }
    }

    pub(super) fn stop_store(&mut self, time: Duration) {
        self.store_is_down_until = self.now + time;
    }

    /// Ends everything that disturbs the members, and starts all processes again.
    pub(super) fn calm_down(&mut self) {
        self.is_disturbed = false;
        self.store_is_down_until = Duration::ZERO;
        for node in 0..self.nodes.len() {
            if let Some(process) = &mut self.nodes[node].process {
                process.paused_until = process.paused_until.and(Some(self.now));
                let process = Target { node, process: process.id };
                self.wake(Duration::ZERO, process);
            }
            self.start(node);
        }
    }

    /// Returns the number of partitions that each node serves.
    pub(super) fn shares(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.serves(self.now).len()).collect()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::AtStore { process, kind, id, call } => {
                if self.now < self.store_is_down_until {
                    return;
                }
                let answer = match call {
                    Call::List => Answer::Listed(self.store.list()),
                    Call::Swap { key, expected, value } => {
                        Answer::Swapped(self.store.swap(&key, expected, value.as_deref()))
                    }
                };
                if self.is_disturbed && self.random.percent(4) {
                    self.seen.late_effects += 1;
                    return;
                }
                let delay = self.delay();
                self.send(delay, process, Message::Answer { kind, id, answer });
            }
            Event::AtDatabase { partition, epoch } => {
                let fence = self.fences[usize::from(partition)];
                self.seen.commits += 1;
                self.seen.refused_commits += u32::from(epoch != fence);
            }
            Event::ToProcess { process, message } => self.receive(process, message),
            Event::Start { node } => self.start(node),
        }
    }

    /// Gives a message to a process, now or when its pause ends.
    fn receive(&mut self, target: Target, message: Message) {
        let now = self.now;
        let Some(process) = &mut self.nodes[target.node].process else { return };
        if process.id != target.process {
            return;
        }
        if let Some(until) = process.paused_until.take_if(|until| now < *until) {
            process.paused_until = Some(until);
            return self.send(until - now, target, message);
        }
        process.paused_until = None;
        let input = match message {
            Message::Wake { number } if number != process.last_wake => return,
            Message::Wake { .. } => Input::Wake,
            Message::Answer { kind, id, answer } => {
                if !process.finish(kind, id) {
                    return;
                }
                Input::Answered(kind, answer)
            }
            Message::Opened { partition, epoch } => {
                let fence = &mut self.fences[usize::from(partition)];
                let is_open = *fence < epoch;
                if is_open {
                    *fence = epoch;
                    process.open.push((partition, epoch));
                    self.seen.opens += 1;
                }
                let fenced = || Err(io::Error::other("a later owner has opened the partition"));
                Input::Opened(partition, is_open.then_some(()).map_or_else(fenced, Ok))
            }
            Message::Closed { partition } => Input::Closed(partition),
            Message::Leave => Input::Leave,
        };
        self.step(target, input);
    }

    fn step(&mut self, target: Target, input: Input) {
        let node = &mut self.nodes[target.node];
        let local = node.local(self.now);
        let Some(process) = &mut node.process else { return };
        let outputs = process.machine.step(local, input);
        let wake_at = process.machine.wake_at();
        outputs.into_iter().for_each(|output| self.perform(target, output));
        if let Some(wake_at) = wake_at {
            let at = self.nodes[target.node].global(wake_at);
            self.wake(at.saturating_sub(self.now), target);
        }
    }

    fn perform(&mut self, target: Target, output: Output) {
        let Some(process) = &mut self.nodes[target.node].process else { return };
        match output {
            Output::Call(kind, call) => self.request(target, kind, call),
            Output::Serve(served) => process.served = served,
            Output::Open { partition, epoch } => {
                let last = std::mem::replace(&mut self.attempts[usize::from(partition)], epoch);
                if epoch <= last {
                    self.violation(format!("{partition} is opened with epoch {epoch} after {last}"));
                }
                let delay = self.delay();
                self.send(delay, target, Message::Opened { partition, epoch });
            }
            Output::Close { partition } => {
                let is_served = process.served.contains(&partition);
                process.open.retain(|(open, _)| *open != partition);
                if is_served {
                    self.violation(format!("{partition} is closed while it is served"));
                }
                let delay = self.delay();
                self.send(delay, target, Message::Closed { partition });
            }
            Output::Members(_) => {}
            Output::Ended(result) => {
                self.seen.failures += u32::from(result.is_err());
                self.nodes[target.node].process = None;
                let delay = self.random.millis(10, 1000);
                self.push(delay, Event::Start { node: target.node });
            }
        }
    }

    /// Sends a request to the store. The member gives up waiting after a third of its lease.
    fn request(&mut self, target: Target, kind: CallKind, call: Call) {
        let id = self.number();
        if let Some(process) = &mut self.nodes[target.node].process {
            process.begin(kind, id);
        }
        self.send(
            LEASE / 3,
            target,
            Message::Answer { kind, id, answer: Answer::Failed(io::ErrorKind::TimedOut.into()) },
        );
        if !(self.is_disturbed && self.random.percent(4)) {
            let delay = self.delay();
            self.push(delay, Event::AtStore { process: target, kind, id, call });
        }
    }

    /// Checks that no partition has two owners.
    fn check(&mut self) {
        let mut owners = vec![None; self.fences.len()];
        let mut violation = None;
        for node in &self.nodes {
            for partition in node.serves(self.now) {
                if let Some(other) = owners[usize::from(partition)].replace(node.name) {
                    violation = Some(format!("{other} and {} serve {partition}", node.name));
                }
            }
        }
        violation.into_iter().for_each(|violation| self.violation(violation));
    }

    /// Lets a process write to the database, even if it is about to be paused.
    fn write(&mut self) {
        let writer = self.random.below(self.nodes.len() as u64) as usize;
        let process = self.nodes[writer].process.as_ref();
        if let Some((partition, epoch)) = process.and_then(|process| process.open.first().copied()) {
            let delay = self.delay();
            self.push(delay, Event::AtDatabase { partition, epoch });
        }
    }

    /// Returns the time that something takes: mostly little, sometimes longer than a lease.
    fn delay(&mut self) -> Duration {
        let most = match self.random.below(100) {
            _ if !self.is_disturbed => 20,
            0..2 => LEASE.as_millis() as u64 * 3,
            2..10 => LEASE.as_millis() as u64 / 2,
            _ => 20,
        };
        self.random.millis(0, most)
    }

    fn wake(&mut self, delay: Duration, target: Target) {
        let number = self.number();
        if let Some(process) = &mut self.nodes[target.node].process {
            process.last_wake = number;
            self.send(delay, target, Message::Wake { number });
        }
    }

    fn violation(&mut self, text: String) {
        let now = self.now;
        self.seen.violations.push(format!("{now:?}: {text}"));
    }

    fn send(&mut self, delay: Duration, process: Target, message: Message) {
        self.push(delay, Event::ToProcess { process, message });
    }

    fn push(&mut self, delay: Duration, event: Event) {
        let number = self.number();
        self.events.insert((self.now + delay, number), event);
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}
