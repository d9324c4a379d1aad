//! The counters of a server as the crate `metrics` has them. The crate docs have a table of them.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::{command::Spec, connection::CommandId};

const COMMANDS: &str = "thegiant_commands_total";
const COMMAND_SECONDS: &str = "thegiant_command_duration_seconds";
const ERRORS: &str = "thegiant_errors_total";
const BATCHES: &str = "thegiant_batches_total";
const BATCH_COMMANDS: &str = "thegiant_batch_commands";
const CONNECTIONS: &str = "thegiant_connections";
const ACCEPTED: &str = "thegiant_connections_accepted_total";
const REJECTED: &str = "thegiant_connections_rejected_total";
const RECEIVED: &str = "thegiant_received_bytes_total";
const SENT: &str = "thegiant_sent_bytes_total";

/// Handles of the recorder that was there when the server started; none is looked up afterwards.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) connections: Gauge,
    pub(super) accepted: Counter,
    pub(super) rejected: Counter,
    pub(super) received: Counter,
    pub(super) sent: Counter,
    batches: Counter,
    batch_commands: Histogram,
    /// By the number of the command.
    commands: Box<[CommandMetrics]>,
}

#[derive(Debug)]
struct CommandMetrics {
    calls: Counter,
    seconds: Histogram,
}

impl Metrics {
    /// For these commands.
    pub(super) fn new(commands: &[&'static Spec]) -> Self {
        describe();
        Metrics {
            connections: gauge!(CONNECTIONS),
            accepted: counter!(ACCEPTED),
            rejected: counter!(REJECTED),
            received: counter!(RECEIVED),
            sent: counter!(SENT),
            batches: counter!(BATCHES),
            batch_commands: histogram!(BATCH_COMMANDS),
            commands: commands.iter().map(|spec| CommandMetrics::new(spec)).collect(),
        }
    }

    /// A batch of so many commands has been run.
    pub(super) fn batch(&self, commands: usize) {
        if commands > 0 {
            self.batches.increment(1);
            self.batch_commands.record(commands as f64);
        }
    }

    /// A command has been run so many times.
    pub(super) fn calls(&self, command: CommandId, calls: u64) {
        self.commands[usize::from(command.0)].calls.increment(calls);
    }

    /// A command took so long.
    pub(super) fn time(&self, command: CommandId, took: Duration) {
        self.commands[usize::from(command.0)].seconds.record(took);
    }
}

impl CommandMetrics {
    fn new(spec: &Spec) -> Self {
        let name = spec.full_name();
        CommandMetrics {
            calls: counter!(COMMANDS, "command" => name.clone()),
            seconds: histogram!(COMMAND_SECONDS, "command" => name),
        }
    }
}

/// Counts errors of this code.
pub(super) fn errors(code: &str) -> Counter {
    counter!(ERRORS, "code" => code.to_owned())
}

fn describe() {
    describe_counter!(COMMANDS, Unit::Count, "Commands that were run.");
    describe_histogram!(COMMAND_SECONDS, Unit::Seconds, "How long a command took, while commands are timed.");
    describe_counter!(ERRORS, Unit::Count, "Errors that were answered.");
    describe_counter!(BATCHES, Unit::Count, "Reads that brought commands.");
    describe_histogram!(BATCH_COMMANDS, Unit::Count, "Commands that one read brought.");
    describe_gauge!(CONNECTIONS, Unit::Count, "Connections at the moment.");
    describe_counter!(ACCEPTED, Unit::Count, "Connections that were served.");
    describe_counter!(REJECTED, Unit::Count, "Connections that were turned away.");
    describe_counter!(RECEIVED, Unit::Bytes, "Bytes that clients sent.");
    describe_counter!(SENT, Unit::Bytes, "Bytes that were sent to clients.");
}
