//! `CALLJOB`: jobs whose caller waits for the result.

use super::{add, connected, connected_with_resp3, id_in, start, stat, wait_for_workers};
use crate::support::{eventually, line};

#[test]
fn a_caller_gets_the_result_of_its_job() {
    let server = start();
    let (mut caller, mut other, mut worker) = (connected(&server), connected(&server), connected(&server));
    caller.send(line("CALLJOB q first 100000"));
    eventually(|| (worker.ask(line("QLEN q")) == ":1\r\n").then_some(()));
    other.send(line("CALLJOB q second 100000"));
    let first = id_in(&worker.ask(line("GETJOB FROM q")));
    let second = id_in(&worker.ask(line("GETJOB FROM q")));
    assert_eq!(worker.ask(line(&format!("REPLYJOB {second} two"))), ":1\r\n");
    assert_eq!(worker.ask(line(&format!("REPLYJOB {first} one"))), ":1\r\n");
    assert_eq!(worker.ask(line(&format!("REPLYJOB {first} again"))), ":0\r\n");
    assert_eq!(caller.reply(), "$3\r\none\r\n");
    assert_eq!(other.reply(), "$3\r\ntwo\r\n");
}

#[test]
fn a_caller_gets_an_error_when_its_job_fails() {
    let server = start();
    let (mut caller, mut worker) = (connected(&server), connected(&server));
    for (done, error) in [
        ("FAILJOB {} reason", "JOBFAILED reason"),
        ("ACKJOB {}", "JOBFAILED the job was acknowledged without a result"),
        ("DELJOB {}", "JOBFAILED the job was deleted"),
    ] {
        caller.send(line("CALLJOB q body 100000"));
        let id = id_in(&worker.ask(line("GETJOB FROM q")));
        assert_eq!(worker.ask(line(&done.replace("{}", &id))), ":1\r\n");
        assert_eq!(caller.reply(), format!("-{error}\r\n"));
    }
}

#[test]
fn getjob_can_send_a_result_and_take_the_next_job() {
    let server = start();
    let (mut caller, mut worker) = (connected(&server), connected(&server));
    caller.send(line("CALLJOB q first 100000"));
    let first = id_in(&worker.ask(line("GETJOB FROM q")));
    worker.send(line(&format!("GETJOB REPLY {first} FROM FROM q")));
    assert_eq!(caller.reply(), "$4\r\nFROM\r\n");
    caller.send(line("CALLJOB q second 100000"));
    let second = id_in(&worker.reply());
    assert_eq!(worker.ask(line(&format!("GETJOB NOHANG FAIL {second} reason FROM q"))), "$-1\r\n");
    assert_eq!(caller.reply(), "-JOBFAILED reason\r\n");
    // No caller waits for the job now. The worker gets no error.
    assert_eq!(worker.ask(line(&format!("GETJOB REPLY {second} again NOHANG FROM q"))), "$-1\r\n");
    assert_eq!((stat(&mut worker, "q", "done"), stat(&mut worker, "q", "failed")), (1, 1));
}

#[test]
fn a_call_times_out() {
    let server = start();
    let (mut caller, mut worker) = (connected(&server), connected(&server));
    assert_eq!(caller.ask(line("CALLJOB q body 10")), "$-1\r\n");
    // No worker has taken the job, and none will.
    eventually(|| (stat(&mut worker, "q", "expired") == 1).then_some(()));
    let mut observer = connected(&server);
    worker.send(line("GETJOB FROM q"));
    // It gets the job at once, and not after the timeout of the call.
    wait_for_workers(&mut observer, 1);
    caller.send(line("CALLJOB q body 50"));
    let id = id_in(&worker.reply());
    assert_eq!(caller.reply(), "$-1\r\n");
    assert_eq!(worker.ask(line(&format!("REPLYJOB {id} late"))), ":0\r\n");
    assert_eq!((stat(&mut worker, "q", "out"), stat(&mut worker, "q", "done")), (0, 1));
}

#[test]
fn a_call_with_timeout_0_waits_without_limit() {
    let server = start();
    let (mut caller, mut worker) = (connected(&server), connected(&server));
    caller.send(line("CALLJOB q body 0"));
    let id = id_in(&worker.ask(line("GETJOB FROM q")));
    assert_eq!(worker.ask(line(&format!("REPLYJOB {id} result"))), ":1\r\n");
    assert_eq!(caller.reply(), "$6\r\nresult\r\n");
}

#[test]
fn the_job_of_a_disconnected_caller_expires() {
    let server = start();
    let (mut caller, mut worker) = (connected(&server), connected(&server));
    caller.send(line("CALLJOB q unwanted 100000"));
    eventually(|| (worker.ask(line("QLEN q")) == ":1\r\n").then_some(()));
    let address = caller.local_address();
    drop(caller);
    eventually(|| {
        let list = worker.ask(line("CLIENT LIST"));
        (!list.windows(address.len()).any(|part| part == address.as_bytes())).then_some(())
    });
    let fields = ["ready", "expired"].map(|field| stat(&mut worker, "q", field));
    assert_eq!(fields, [0, 1]);
    let wanted = add(&mut worker, "q wanted");
    assert_eq!(id_in(&worker.ask(line("GETJOB FROM q"))), wanted);
}

#[test]
fn a_call_survives_the_loss_of_its_worker() {
    let server = start();
    let (mut caller, mut first, mut second) = (connected(&server), connected(&server), connected(&server));
    caller.send(line("CALLJOB q body 100000"));
    let id = id_in(&first.ask(line("GETJOB FROM q")));
    drop(first);
    assert_eq!(id_in(&second.ask(line("GETJOB FROM q"))), id);
    assert_eq!(second.ask(line(&format!("REPLYJOB {id} result"))), ":1\r\n");
    assert_eq!(caller.reply(), "$6\r\nresult\r\n");
}

#[test]
fn a_call_with_nowait_needs_a_worker() {
    const NO_WORKER: &str = "-NOWORKER no worker listens on the queue\r\n";
    let server = start();
    let (mut caller, mut worker, mut observer) = (connected(&server), connected(&server), connected(&server));
    assert_eq!(caller.ask(line("CALLJOB q body 100000 NOWAIT")), NO_WORKER);
    worker.send(line("GETJOB FROM q"));
    wait_for_workers(&mut observer, 1);
    caller.send(line("CALLJOB q body 100000 nowait"));
    let id = id_in(&worker.reply());
    // The worker has a job of the queue, and takes the next one when it has finished.
    let mut second = connected(&server);
    second.send(line("CALLJOB q body 100000 NOWAIT"));
    worker.ask(line(&format!("GETJOB REPLY {id} one FROM q")));
    assert_eq!(caller.reply(), "$3\r\none\r\n");
    drop((worker, second));
    eventually(|| (stat(&mut observer, "q", "expired") == 1).then_some(()));
    assert_eq!(caller.ask(line("CALLJOB q body 100000 NOWAIT")), NO_WORKER);
    // A worker with a full window listens, too.
    let mut pushed = connected_with_resp3(&server);
    assert_eq!(pushed.ask(line("WORKER q other")), "+OK\r\n");
    let busy = add(&mut caller, "other body");
    assert_eq!(id_in(&pushed.reply()), busy);
    caller.send(line("CALLJOB q body 100000 NOWAIT"));
    eventually(|| (stat(&mut observer, "q", "ready") == 1).then_some(()));
    observer.ask(line(&format!("ACKJOB {busy}")));
    let id = id_in(&pushed.reply());
    observer.ask(line(&format!("REPLYJOB {id} two")));
    assert_eq!(caller.reply(), "$3\r\ntwo\r\n");
}
