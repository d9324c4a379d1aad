//! Run with `cargo run --release -p balancer -- ADDR ADDR ADDR`. `README.md` describes the proxy.

use std::io;

use balancer::Options;
use thegiant::prelude::*;

#[actix::main]
async fn main() {
    cli::run(serve).await;
}

async fn serve(options: Options) -> io::Result<()> {
    let servers = balancer::start(&options).await?;
    options.server.serve(App::new().proxy(servers)).await
}
