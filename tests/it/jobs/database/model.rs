//! A server with a database that is killed behaves as one in memory whose worker disconnects.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*, sample::select};

use super::{Database, connected, id_in, seen};
use crate::support::{Process, RawClient, Reply, eventually, line};

const QUEUES: [&str; 6] = ["q0", "q1", "q2", "dead:q0", "dead:q1", "dead:q2"];

#[derive(Clone, Debug)]
enum Step {
    /// Adds a job with these options.
    Add(usize, &'static str),
    /// Takes the first job of a queue.
    Take(usize),
    /// Ends the job that was taken first, or returns it, by this command.
    End(&'static str),
    /// Runs a command about a queue.
    Queue(&'static str, usize),
    /// Deletes a job or a result.
    Delete(usize),
    Schedule(&'static str),
    /// Kills the server.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let options = [
        "",
        "PRIORITY 3",
        "DELAY 100000",
        "ID a KEEP 100000",
        "ID b",
        "MAXTRIES 1",
        "MAXTRIES 2 PRIORITY 1",
        "KEEP 100000",
        "TTL 100000 ID c",
        "MAXLEN 2",
    ];
    let ends = ["ACKJOB id", "REPLYJOB id result", "FAILJOB id reason", "NACK id", "NACK DELAY 100000 id"];
    let schedules = ["SCHEDULE s @yearly q0 body", "SCHEDULE t @yearly q1 body TTL 5", "UNSCHEDULE s"];
    prop_oneof![
        8 => (0..3usize, select(options.to_vec())).prop_map(|(queue, options)| Step::Add(queue, options)),
        6 => (0..6usize).prop_map(Step::Take),
        6 => select(ends.to_vec()).prop_map(Step::End),
        2 => (select(vec!["PAUSE", "RESUME", "REDRIVE", "REDRIVE"]), 0..3usize)
            .prop_map(|(command, queue)| Step::Queue(command, queue)),
        1 => (0..40usize).prop_map(Step::Delete),
        1 => select(schedules.to_vec()).prop_map(Step::Schedule),
        2 => Just(Step::Restart),
    ]
}

/// A server, and the client that is its only producer and worker.
struct Side {
    database: Option<Database>,
    process: Option<Process>,
    client: RawClient,
    /// The ids of jobs, in their order, and the job that each id names.
    ids: Vec<String>,
    /// The jobs that the client has, with their tries.
    held: Vec<(String, i64)>,
}

impl Side {
    fn new(database: Option<Database>) -> Self {
        let process = match &database {
            Some(database) => database.start().0,
            None => Process::program("jobs"),
        };
        let client = connected(&process);
        Side { database, process: Some(process), client, ids: Vec::new(), held: Vec::new() }
    }

    /// Runs a step. Returns the reply with the numbers of jobs instead of their ids.
    fn run(&mut self, step: &Step) -> String {
        let reply = match step {
            Step::Add(queue, options) => {
                let reply =
                    self.client.ask(line(&format!("ADDJOB {} {} {options}", QUEUES[*queue], self.ids.len())));
                if let Some(Reply::Bulk(id)) = Reply::only(&reply) {
                    let id = String::from_utf8(id).expect("an id is text");
                    self.ids.extend((!self.ids.contains(&id)).then_some(id));
                }
                reply
            }
            Step::Take(queue) => {
                let reply = self.client.ask(line(&format!("GETJOB NOHANG FROM {}", QUEUES[*queue])));
                if let Some(Reply::Array(jobs)) = Reply::only(&reply) {
                    let Reply::Array(fields) = &jobs[0] else { panic!("{jobs:?}") };
                    let Reply::Integer(tries) = fields[3] else { panic!("{fields:?}") };
                    self.held.push((id_in(&reply), tries));
                }
                reply
            }
            Step::End(command) => {
                let Some((id, tries)) = (!self.held.is_empty()).then(|| self.held.remove(0)) else {
                    return String::new();
                };
                // A back-off of some milliseconds would end at different times.
                let command = if *command == "NACK id" && tries > 0 { "ACKJOB id" } else { command };
                self.client.ask(line(&command.replace("id", &id)))
            }
            Step::Queue(command, queue) => self.client.ask(line(&format!("{command} {}", QUEUES[*queue]))),
            Step::Delete(number) => {
                let Some(id) = self.ids.get(*number).cloned() else { return String::new() };
                self.held.retain(|(held, _)| *held != id);
                self.client.ask(line(&format!("DELJOB {id}")))
            }
            Step::Schedule(request) => {
                let words: Vec<&str> = request.split(' ').collect();
                self.client.ask(line(&words.join(" ")))
            }
            Step::Restart => {
                self.restart();
                return String::new();
            }
        };
        self.numbered(&String::from_utf8_lossy(&reply))
    }

    /// Kills the server, or disconnects its worker.
    fn restart(&mut self) {
        for (id, _) in self.held.iter().filter(|(_, tries)| *tries > 0) {
            self.client.ask(line(&format!("ACKJOB {id}")));
        }
        self.held.clear();
        if let Some(database) = &self.database {
            self.process = None;
            let (process, client) = database.start();
            (self.process, self.client) = (Some(process), client);
        } else if let Some(process) = &self.process {
            self.client = connected(process);
        }
        // The lost worker has no job any more.
        eventually(|| QUEUES.iter().all(|queue| out(&mut self.client, queue) == 0).then_some(()));
    }

    fn seen(&mut self) -> Vec<String> {
        let seen = seen(&mut self.client, &QUEUES, &self.ids);
        seen.iter().map(|seen| self.numbered(seen)).collect()
    }

    fn numbered(&self, text: &str) -> String {
        let numbers: HashMap<&String, usize> = self.ids.iter().zip(0..).collect();
        numbers
            .into_iter()
            .fold(text.to_owned(), |text, (id, number)| text.replace(id, &format!("job {number}")))
    }
}

/// Returns the number of jobs of a queue that workers have.
fn out(client: &mut RawClient, queue: &str) -> i64 {
    let is_known = client.ask(line(&format!("QSTAT {queue}"))) != "$-1\r\n";
    if is_known { super::stat(client, queue, "out") } else { 0 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn a_restart_is_what_a_disconnect_is(steps in vec(step(), 10..60)) {
        let mut sides = [Side::new(None), Side::new(Some(Database::sqlite()))];
        for (number, step) in steps.iter().enumerate() {
            let [memory, disk] = sides.each_mut().map(|side| side.run(step));
            prop_assert_eq!(memory, disk, "step {}", number);
        }
        for side in &mut sides {
            side.run(&Step::Restart);
        }
        let [memory, disk] = sides.each_mut().map(Side::seen);
        prop_assert_eq!(memory, disk);
    }
}
