//! Schedules of several threads. The tests in `apps/jobs` cover the times of the firings, with a paused clock.

use super::{bulk, connected};
use crate::support::{Process, RawClient, Reply, line, lines, request};

/// Returns a field of each schedule.
fn fields(client: &mut RawClient, name: &str) -> Vec<Reply> {
    let reply = client.ask(line("SCHEDULES"));
    let Some(Reply::Array(schedules)) = Reply::only(&reply) else { panic!("not an array: {reply:?}") };
    let field = |schedule| {
        let Reply::Array(fields) = schedule else { panic!("not a schedule: {schedule:?}") };
        let at = fields.iter().position(|field| bulk(field) == name).expect("a field");
        fields[at + 1].clone()
    };
    schedules.into_iter().map(field).collect()
}

#[test]
fn a_schedule_belongs_to_the_thread_of_its_queue() {
    let server = Process::program_with("jobs", &["--threads", "3"]);
    let mut client = connected(&server);
    let queues: Vec<String> = (0..6).map(|number| format!("q{number}")).collect();
    let set = |name: &str, queue: &str| request(["SCHEDULE", name, "* * * * * *", queue, "body"]);
    for queue in &queues {
        assert_eq!(client.ask(set(queue, queue)), ":1\r\n");
    }
    for queue in &queues {
        let given = client.ask(line(&format!("GETJOB FROM {queue}")));
        assert!(String::from_utf8_lossy(&given).contains("body"), "{given:?}");
    }
    // As a shell sends an expression without quotes.
    let unquoted = String::from_utf8_lossy(&client.ask(line("SCHEDULE s * * * * * q body"))).into_owned();
    assert!(unquoted.starts_with("-ERR a cron expression is one argument with five fields "), "{unquoted}");
    // A name belongs to the server: a schedule leaves its thread.
    for (name, queue) in queues.iter().zip(queues.iter().cycle().skip(1)) {
        assert_eq!(client.ask(set(name, queue)), ":0\r\n");
    }
    assert_eq!(
        fields(&mut client, "queue").iter().map(bulk).collect::<Vec<_>>(),
        ["q1", "q2", "q3", "q4", "q5", "q0"]
    );
    client.ask(set("q0", "q0"));
    let keys = line("COMMAND GETKEYS SCHEDULE name @daily queue body TZ Europe/Berlin RETRY 5");
    assert_eq!(client.ask(keys), "*1\r\n$5\r\nqueue\r\n");
    // Any thread removes it.
    let removed: Vec<String> = queues.iter().map(|name| format!("UNSCHEDULE {name} {name}")).collect();
    client.send(lines(&removed.join("\n")));
    assert_eq!(client.replies(6), ":1\r\n".repeat(6));
    assert_eq!(client.ask(line("SCHEDULES")), "*0\r\n");
}
