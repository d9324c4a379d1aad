//! Run with `cargo run --release -p balancer -- ADDR ADDR ADDR`; `README.md` says what it does.

use balancer::{HELP, Options, USAGE};
use cli::CommandLine;
use thegiant::prelude::*;

#[actix::main]
async fn main() {
    let mut options = Options::default();
    let command_line = CommandLine::read_with(USAGE, HELP, |name, values| options.set(name, values));
    if options.groups.is_empty() {
        cli::fail(2, &"there is no address of a server");
    }
    let servers = balancer::start(&options).await.unwrap_or_else(|wrong| cli::fail(2, &wrong));
    command_line.serve(App::new().proxy(servers)).await;
}
