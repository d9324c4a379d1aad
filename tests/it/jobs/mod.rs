mod calls;
mod cluster;
mod database;
mod leases;
mod names;
mod on_disk;
mod queue;
mod schedules;
mod threads;
mod top;
mod workers;

use crate::support::{Process, RawClient, Reply, eventually, line};

fn start() -> Process {
    Process::program("jobs")
}

fn connected(jobs: &Process) -> RawClient {
    RawClient::connect(jobs.address())
}

/// Returns a client that can receive pushed jobs.
fn connected_with_resp3(jobs: &Process) -> RawClient {
    let mut client = connected(jobs);
    client.ask(line("HELLO 3"));
    client
}

/// Adds a job and returns its id.
#[track_caller]
fn add(client: &mut RawClient, arguments: &str) -> String {
    let reply = client.ask(line(&format!("ADDJOB {arguments}")));
    match Reply::only(&reply) {
        Some(Reply::Bulk(id)) => String::from_utf8(id).expect("an id is text"),
        _ => panic!("the reply to ADDJOB {arguments} is {reply:?}"),
    }
}

/// Adds jobs and takes them at once, in one write, so that none expires in between. Returns the ids.
fn add_and_take<const N: usize>(client: &mut RawClient, arguments: [&str; N], queue: &str) -> [String; N] {
    let added = arguments.map(|arguments| format!("ADDJOB {arguments}\r\n")).concat();
    client.send(format!("{added}GETJOB COUNT {N} FROM {queue}\r\n"));
    let ids = arguments.map(|_| match Reply::only(&client.reply()) {
        Some(Reply::Bulk(id)) => String::from_utf8(id).expect("an id is text"),
        reply => panic!("the reply to ADDJOB is {reply:?}"),
    });
    client.reply();
    ids
}

/// Returns a job as `GETJOB` encodes it.
fn job(queue: &str, id: &str, body: &str, tries: u32) -> String {
    let text = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    format!("*4\r\n{}{}{}:{tries}\r\n", text(queue), text(id), text(body))
}

/// Returns the reply to `GETJOB` with these jobs.
fn jobs<const N: usize>(jobs: [String; N]) -> String {
    format!("*{N}\r\n{}", jobs.concat())
}

/// Returns the id of the first job in a reply or a push.
#[track_caller]
fn id_in(reply: &[u8]) -> String {
    match Reply::only(reply) {
        Some(Reply::Push(fields)) => bulk(&fields[2]),
        Some(Reply::Array(fields)) if fields.len() == 5 => bulk(&fields[2]),
        Some(Reply::Array(jobs)) => match &jobs[0] {
            Reply::Array(fields) => bulk(&fields[1]),
            _ => panic!("no job in {reply:?}"),
        },
        _ => panic!("no job in {reply:?}"),
    }
}

#[track_caller]
fn bulk(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(bytes) => String::from_utf8(bytes.clone()).expect("text"),
        _ => panic!("{reply:?} is not a string"),
    }
}

/// Returns a field of `QSTAT`.
#[track_caller]
fn stat(client: &mut RawClient, queue: &str, field: &str) -> i64 {
    let reply = client.ask(line(&format!("QSTAT {queue}")));
    let Some(Reply::Array(fields)) = Reply::only(&reply) else { panic!("the reply to QSTAT is {reply:?}") };
    let value = fields.chunks(2).find(|pair| bulk(&pair[0]) == field).map(|pair| &pair[1]);
    match value {
        Some(Reply::Integer(number)) => *number,
        _ => panic!("no {field} in {fields:?}"),
    }
}

/// Waits until `count` workers are blocked in `GETJOB` or registered with `WORKER`.
fn wait_for_workers(client: &mut RawClient, count: u64) {
    wait_for(client, "jobs_waiting_workers", count);
}

/// Waits until the server has `count` jobs, which need not be in a database yet.
fn wait_for_jobs(client: &mut RawClient, count: u64) {
    wait_for(client, "jobs", count);
}

/// Waits until a field of `INFO jobs` has this value.
fn wait_for(client: &mut RawClient, field: &str, value: u64) {
    eventually(|| (crate::support::info(client, "jobs").number(field) == value).then_some(()));
}
