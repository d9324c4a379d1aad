//! Measures what a feature costs: a server with the feature, compared with the same server without.
//!
//! The server is a small application inside of this driver: it keeps its values in a `HashMap`.

use std::collections::HashMap;
use std::net::SocketAddr;

use thegiant::middleware::{Decision, Middleware, Outcome};
use thegiant::prelude::*;

use crate::Result;
use crate::figure::{Limit, Pair};
use crate::options::Options;
use crate::program::Program;
use crate::report;
use crate::throughput::{self, Series, Workload};

/// The option with which the driver starts itself as this server.
pub(crate) const OPTION: &str = "--store-server";

/// A feature of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// A middleware that does nothing.
    Middleware,
    /// Rules for the user of all clients: its commands, and a pattern of its keys.
    Rules,
}

impl Feature {
    const fn setting(self) -> &'static str {
        match self {
            Feature::Middleware => "--no-op-middleware",
            Feature::Rules => "--user-with-rules",
        }
    }

    /// Returns the limit of the ratio of the CPU times.
    const fn limit(self, pipeline: u64) -> Option<f64> {
        match (self, pipeline) {
            // Without a pipeline, each command pays for a whole batch.
            (Feature::Middleware, 1) => None,
            (Feature::Middleware, _) => Some(1.03),
            (Feature::Rules, 1) => Some(1.02),
            (Feature::Rules, _) => Some(1.05),
        }
    }
}

const DEPTHS: [u64; 3] = [1, 16, 64];

#[derive(Default)]
struct Store(HashMap<Bytes, Bytes>);

impl Actor for Store {
    type Context = Context<Self>;
}

#[commands]
impl Store {
    /// Sets a value.
    #[command("SET", write, fast)]
    fn set(&mut self, key: Key, value: Bytes) {
        self.0.insert(key.into(), value);
    }

    /// Returns a value.
    #[command("GET", readonly, fast)]
    fn get(&self, key: Key<&[u8]>) -> Option<&Bytes> {
        self.0.get(*key)
    }
}

/// A middleware that lets everything pass.
struct NoOp;

impl Middleware for NoOp {
    fn before(&self, _: &Request<'_>) -> Decision {
        Decision::Run
    }

    fn after(&self, _: &Request<'_>, _: &Outcome<'_>) {}
}

/// Serves until the process is killed.
pub(crate) fn serve(address: SocketAddr, settings: &[String]) -> Result<()> {
    let has = |feature: Feature| settings.iter().any(|setting| setting == feature.setting());
    let (has_middleware, has_rules) = (has(Feature::Middleware), has(Feature::Rules));
    let app = move || {
        let app = App::new().mount(Store::default().start());
        if has_middleware { app.middleware(NoOp) } else { app }
    };
    let system = actix::System::new();
    Ok(system.block_on(async move {
        let server = Server::new(app).bind(address.to_string())?;
        let rules = "resetkeys ~key:* -@dangerous +config|get";
        if has_rules { server.user("default", rules) } else { server }.run().await
    })?)
}

/// Returns the table of a server with a feature.
pub(crate) fn report(options: &Options, feature: Feature) -> Result<String> {
    let store = Program::store()?;
    let programs = Pair { subject: store.clone().also_with(feature.setting()), baseline: store };
    let workloads = Workload::of(&["GET", "SET"], &DEPTHS);
    let figures = |series: &Series| {
        let title = series.workload.title();
        let target = feature.limit(series.workload.pipeline).map(Limit::OwnRatio);
        [series.cpu_figure(&title, target), series.speed_figure(&title)]
    };
    let series = throughput::measure(&programs, options, &workloads)?;
    let figures: Vec<_> = series.iter().flat_map(figures).collect();
    Ok(report::report(&programs, options, &figures))
}
