//! `LATENCY`: reports the latencies of commands.

use hdrhistogram::Histogram;

use crate::{Array, Reply, command::Spec, commands, conn::ConnectionState, resp::Encoder};

#[commands(rows = LATENCY, group = "server")]
impl ConnectionState {
    /// Returns the cumulative distribution of latencies of a subset or all commands.
    #[command("LATENCY HISTOGRAM", admin, noscript, loading, stale)]
    fn latency_histogram(&self, command: Option<Vec<&[u8]>>) -> Distributions {
        let routes = &self.server.routes;
        let is_requested = |spec: &Spec| {
            let Some(names) = &command else { return true };
            let (name, container) = (spec.full_name(), spec.name.split(' ').next().unwrap_or_default());
            let is_named = |given: &&[u8]| {
                given.eq_ignore_ascii_case(name.as_bytes())
                    || given.eq_ignore_ascii_case(container.as_bytes())
            };
            names.iter().any(is_named)
        };
        let timed = routes.commands().iter().zip(self.server.stats.latencies());
        let requested = timed.filter(|(spec, _)| is_requested(spec));
        Distributions(
            requested.filter_map(|(spec, latencies)| Some((spec.full_name(), latencies?))).collect(),
        )
    }

    /// Returns the latest latency samples for all events. The server records none.
    #[command("LATENCY LATEST", admin, noscript, loading, stale)]
    fn latency_latest(&self) -> Array<[String; 0]> {
        Array([])
    }

    /// Resets the latency data for one or more events.
    #[command("LATENCY RESET", admin, noscript, loading, stale)]
    fn latency_reset(&self, _event: Option<Vec<&[u8]>>) -> i64 {
        0
    }
}

/// The latency histograms of commands, by command name.
struct Distributions(Vec<(String, Box<Histogram<u64>>)>);

impl Reply for Distributions {
    fn write_to(self, out: &mut Encoder) {
        out.map(self.0.len());
        for (name, latencies) in self.0 {
            name.write_to(out);
            out.map(2);
            "calls".write_to(out);
            latencies.len().write_to(out);
            "histogram_usec".write_to(out);
            let buckets = buckets(&latencies);
            out.map(buckets.len());
            for (micros, calls) in buckets {
                micros.write_to(out);
                calls.write_to(out);
            }
        }
    }
}

/// Returns pairs of an upper bound in microseconds and the number of calls up to it.
///
/// The bounds are 1,024 ns times powers of two, as in Redis. Buckets without calls are left out.
fn buckets(latencies: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut buckets = Vec::new();
    let mut calls = 0;
    for step in latencies.iter_log(1024, 2.0) {
        let added = step.count_since_last_iteration();
        calls += added;
        if added > 0 {
            buckets.push((step.value_iterated_to() / 1_000, calls));
        }
    }
    buckets
}
