//! `LATENCY`: how long commands take.

use hdrhistogram::Histogram;

use crate::{Array, IntoReply, command::Spec, commands, connection::ConnectionState, resp::Encoder};

#[commands(rows = LATENCY, group = "server")]
impl ConnectionState {
    /// Returns how long the calls of commands took, by powers of two.
    #[command("LATENCY HISTOGRAM", admin, noscript, loading, stale)]
    fn latency_histogram(&self, command: Option<Vec<&[u8]>>) -> Distributions {
        let routes = &self.server.routes;
        let is_asked = |spec: &Spec| {
            let Some(names) = &command else { return true };
            let (name, container) = (spec.full_name(), spec.name.split(' ').next().unwrap_or_default());
            let is_named = |asked: &&[u8]| {
                asked.eq_ignore_ascii_case(name.as_bytes())
                    || asked.eq_ignore_ascii_case(container.as_bytes())
            };
            names.iter().any(is_named)
        };
        let timed = routes.commands().iter().zip(self.server.stats.commands());
        let asked = timed.filter(|(spec, _)| is_asked(spec));
        Distributions(
            asked.filter_map(|(spec, stats)| Some((spec.full_name(), stats.latencies()?))).collect(),
        )
    }

    /// Returns the last events that took long: none are watched for.
    #[command("LATENCY LATEST", admin, noscript, loading, stale)]
    fn latency_latest(&self) -> Array<[String; 0]> {
        Array([])
    }

    /// Forgets the events that took long, and says how many there were.
    #[command("LATENCY RESET", admin, noscript, loading, stale)]
    fn latency_reset(&self, _event: Option<Vec<&[u8]>>) -> i64 {
        0
    }
}

/// By the names of commands.
struct Distributions(Vec<(String, Box<Histogram<u64>>)>);

impl IntoReply for Distributions {
    fn into_reply(self, out: &mut Encoder) {
        out.map(self.0.len());
        for (name, latencies) in self.0 {
            name.into_reply(out);
            out.map(2);
            "calls".into_reply(out);
            latencies.len().into_reply(out);
            "histogram_usec".into_reply(out);
            let buckets = buckets(&latencies);
            out.map(buckets.len());
            for (micros, calls) in buckets {
                micros.into_reply(out);
                calls.into_reply(out);
            }
        }
    }
}

/// Up to so many microseconds, so many calls: cumulative, by powers of two of 1,024 ns, as in Redis.
/// A bucket that adds nothing is left out.
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
