//! Exports the counters of a server to the crate `metrics`. The crate docs list them in a table.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::{batch::CommandId, command::Spec};

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
#[cfg(feature = "tls")]
const CERTIFICATE_EXPIRY: &str = "thegiant_tls_certificate_expiry_seconds";

/// Metric handles, created when the server starts, so that no command looks a handle up.
///
/// The recorder has to be installed before that.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) connections: Gauge,
    pub(super) accepted: Counter,
    pub(super) rejected: Counter,
    pub(super) received: Counter,
    pub(super) sent: Counter,
    batches: Counter,
    batch_commands: Histogram,
    /// Indexed by command ID.
    commands: Box<[CommandMetrics]>,
}

#[derive(Debug)]
struct CommandMetrics {
    calls: Counter,
    seconds: Histogram,
}

impl Metrics {
    /// Creates the handles for the commands of a server.
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

    /// Records a batch with the given number of commands.
    pub(super) fn batch(&self, commands: usize) {
        if commands > 0 {
            self.batches.increment(1);
            self.batch_commands.record(commands as f64);
        }
    }

    /// Records calls of a command.
    pub(super) fn calls(&self, command: CommandId, calls: u64) {
        self.commands[usize::from(command.0)].calls.increment(calls);
    }

    /// Records the duration of a call.
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

/// Returns the counter of an error code.
pub(super) fn errors(code: &str) -> Counter {
    counter!(ERRORS, "code" => code.to_owned())
}

/// Sets the end of the certificate of a listener, in seconds since 1970.
#[cfg(feature = "tls")]
pub(crate) fn record_certificate(address: &str, not_after: i64) {
    describe_gauge!(CERTIFICATE_EXPIRY, Unit::Seconds, "End of the certificate, in seconds since 1970.");
    gauge!(CERTIFICATE_EXPIRY, "address" => address.to_owned()).set(not_after as f64);
}

fn describe() {
    describe_counter!(COMMANDS, Unit::Count, "Commands run.");
    describe_histogram!(COMMAND_SECONDS, Unit::Seconds, "Command durations, while commands are timed.");
    describe_counter!(ERRORS, Unit::Count, "Error replies.");
    describe_counter!(BATCHES, Unit::Count, "Batches of commands.");
    describe_histogram!(BATCH_COMMANDS, Unit::Count, "Commands per batch.");
    describe_gauge!(CONNECTIONS, Unit::Count, "Current connections.");
    describe_counter!(ACCEPTED, Unit::Count, "Accepted connections.");
    describe_counter!(REJECTED, Unit::Count, "Rejected connections.");
    describe_counter!(RECEIVED, Unit::Bytes, "Bytes received from clients.");
    describe_counter!(SENT, Unit::Bytes, "Bytes sent to clients.");
}
