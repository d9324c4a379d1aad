use crate::support::{Process, RawClient, eventually, line, lines};

fn wait_for_journal(client: &mut RawClient, lines: &[&str]) {
    let elements: String = lines.iter().map(|line| format!("${}\r\n{line}\r\n", line.len())).collect();
    let expected = format!("*{}\r\n{elements}", lines.len());
    eventually(|| (client.ask(line("JOURNAL")) == expected).then_some(()));
}

#[test]
fn deferred_work_runs_once_for_a_whole_batch() {
    let timers = Process::program("timers");
    let mut client = RawClient::connect(timers.address());
    client.send(lines("NOTE a \n WRITE \n NOTE b \n WRITE \n WRITES \n NOTE c \n WRITE"));
    assert_eq!(client.replies(7), ":1\r\n+OK\r\n:2\r\n+OK\r\n:0\r\n:3\r\n+OK\r\n");
    wait_for_journal(&mut client, &["a", "b", "c"]);
    assert_eq!(client.ask(line("WRITES")), ":1\r\n");
}

#[test]
fn a_timer_repeats_until_stopped_and_can_be_restarted() {
    let timers = Process::program("timers");
    let mut client = RawClient::connect(timers.address());
    assert_eq!(client.ask(line("WRITE NEVER")), ":0\r\n");
    assert_eq!(client.ask(line("WRITE EVERY 5")), "+OK\r\n");
    for (index, text) in ["a", "b", "c"].iter().enumerate() {
        client.ask(line(&format!("NOTE {text}")));
        wait_for_journal(&mut client, &["a", "b", "c"][..=index]);
    }
    assert_eq!(client.ask(line("WRITE NEVER")), ":1\r\n");
    assert_eq!(client.ask(line("WRITE NEVER")), ":0\r\n");
    client.ask(line("NOTE d"));
    // A restarted timer counts from now on, so the short interval replaces the hour.
    assert_eq!(client.ask(line("WRITE EVERY 3600000")), "+OK\r\n");
    assert_eq!(client.ask(line("WRITES")), ":3\r\n");
    assert_eq!(client.ask(line("WRITE EVERY 5")), "+OK\r\n");
    wait_for_journal(&mut client, &["a", "b", "c", "d"]);
    assert_eq!(client.ask(line("WRITE EVERY 0")), "-ERR interval must be at least 1 ms\r\n");
}
