//! Run with `cargo run --release -p jobs`, then talk to it with any Redis client.
//!
//! A work queue with request and reply; `README.md` says how it is used.
//!
//! - `server`: the actor, with the commands for producers, `workers`: those for workers, `inspection`: those for
//!   whoever looks after the queues
//! - `queues`: the jobs and their queues, a plain data structure; `job`: one of them; `waiting`: who waits for jobs

mod inspection;
mod job;
mod queues;
mod server;
mod waiting;
mod workers;

use std::sync::Arc;

use thegiant::prelude::*;

#[actix::main]
async fn main() {
    let totals = Arc::new(queues::Totals::default());
    let jobs = server::Jobs::new(Arc::clone(&totals)).start();
    let app = App::new().mount(jobs.clone()).disconnected(jobs).info("Jobs", move |info| totals.tell(info));
    cli::serve(app).await;
}
