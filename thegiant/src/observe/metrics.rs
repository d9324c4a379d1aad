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

#[cfg(all(test, feature = "tls"))]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    };

    use metrics::{Key, KeyName, Metadata, Recorder, SharedString};

    use super::*;

    /// Records gauges.
    #[derive(Default)]
    struct Gauges(Mutex<Vec<(Key, Arc<AtomicU64>)>>);

    impl Recorder for Gauges {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            let value = Arc::new(AtomicU64::new(0));
            self.0.lock().expect("no test panics with the lock").push((key.clone(), Arc::clone(&value)));
            Gauge::from_arc(value)
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn the_end_of_a_certificate_has_the_address_of_its_listener() {
        let gauges = Gauges::default();
        metrics::with_local_recorder(&gauges, || record_certificate("127.0.0.1:6381", 1_796_128_496));
        let recorded = gauges.0.lock().expect("no test panics with the lock");
        let [(key, value)] = &recorded[..] else { panic!("one gauge") };
        assert_eq!(key.name(), "thegiant_tls_certificate_expiry_seconds");
        let labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
        assert_eq!(labels, [("address", "127.0.0.1:6381")]);
        assert_eq!(f64::from_bits(value.load(Relaxed)), 1_796_128_496.0);
    }
}
