//! Measures what a middleware costs: a server with a middleware that does nothing, compared with the same server without.
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
use crate::throughput::{self, Cell, Series};

/// The option with which the driver starts itself as this server.
pub(crate) const OPTION: &str = "--store-server";

/// The setting of the server with a middleware.
const NO_OP: &str = "--no-op-middleware";

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
    let has_middleware = settings.iter().any(|setting| setting == NO_OP);
    let app = move || {
        let app = App::new().mount(Store::default().start());
        if has_middleware { app.middleware(NoOp) } else { app }
    };
    let system = actix::System::new();
    Ok(system.block_on(async move { Server::new(app).bind(address.to_string())?.run().await })?)
}

/// Returns the table of a server with a middleware.
pub(crate) fn report(options: &Options) -> Result<String> {
    let store = Program::store()?;
    let programs = Pair { subject: store.clone().also_with(NO_OP), baseline: store };
    let of_all_depths = |command| DEPTHS.map(|pipeline| Cell { command, pipeline });
    let cells: Vec<_> = ["GET", "SET"].into_iter().flat_map(of_all_depths).collect();
    let figures = |series: &Series| {
        let title = series.cell.title();
        // Without a pipeline, each command pays for a whole batch.
        let target = (series.cell.pipeline > 1).then_some(Limit::OwnRatio(1.03));
        [series.cpu_figure(&title, target), series.speed_figure(&title)]
    };
    let series = throughput::measure(&programs, options, &cells)?;
    let figures: Vec<_> = series.iter().flat_map(figures).collect();
    Ok(report::report(&programs, options, &figures))
}
