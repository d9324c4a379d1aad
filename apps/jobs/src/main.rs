//! Run with `cargo run --release -p jobs`, then talk to it with any Redis client.
//!
//! A work queue with request and reply; `README.md` says how it is used.
//!
//! `jobs top ADDR` shows what is going on in one that runs.
//!
//! - `server`: the actor, with the commands for producers, `workers`: those for workers, `inspection`: those for
//!   whoever looks after the queues
//! - `queues`: the jobs and their queues, a plain data structure; `job`: one of them; `waiting`: who waits for jobs
//! - `top`: what `jobs top` shows

mod inspection;
mod job;
mod queues;
mod server;
mod top;
mod waiting;
mod workers;

use std::{env, process::ExitCode, sync::Arc};

use thegiant::prelude::*;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.as_slice() {
        [top, address] if top == "top" => match top::run(address) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("jobs: {address}: {error}");
                ExitCode::FAILURE
            }
        },
        [top, ..] if top == "top" => {
            eprintln!("jobs: which server? Write `jobs top ADDR`, such as `jobs top 127.0.0.1:6380`");
            ExitCode::from(2)
        }
        _ => {
            serve();
            ExitCode::SUCCESS
        }
    }
}

#[actix::main]
async fn serve() {
    let totals = Arc::new(queues::Totals::default());
    let jobs = server::Jobs::new(Arc::clone(&totals)).start();
    let app = App::new().mount(jobs.clone()).disconnected(jobs).info("Jobs", move |info| totals.tell(info));
    cli::serve(app).await;
}
