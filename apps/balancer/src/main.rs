//! Run with `cargo run --release -p balancer -- ADDR ADDR ADDR`. `README.md` describes the proxy.

use std::io;

use balancer::Options;
use thegiant::prelude::*;

#[thegiant::main]
async fn main() {
    cli::run(serve).await;
}

async fn serve(options: Options) -> io::Result<()> {
    let proxies = balancer::proxies(&options)?;
    let app = App::new().proxy_per_worker(proxies);
    let app = if options.emulate_cluster { app.emulate_cluster() } else { app };
    cli::serve(options.tenants.apply(options.server.bind(app)?)).await
}
