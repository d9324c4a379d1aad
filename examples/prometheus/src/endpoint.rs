//! An HTTP endpoint that answers every request with all metrics, for Prometheus.

use std::{io, net::TcpListener as StdTcpListener, time::Duration};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// Installs the recorder, and starts the endpoint that exports its metrics.
///
/// # Errors
/// Returns an error if the address is invalid or in use, or if another recorder is installed.
pub(crate) fn serve(address: &str) -> io::Result<()> {
    let listener = StdTcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    println!("metrics on http://{}/metrics", listener.local_addr()?);
    // With buckets, the exporter writes histograms, which Prometheus can add up over several servers.
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).map_err(io::Error::other)?;
    let recorder = builder.install_recorder().map_err(io::Error::other)?;
    actix_rt::spawn(run_upkeep(recorder.clone()));
    actix_rt::spawn(answer_all(listener, recorder));
    Ok(())
}

/// Upper bounds of the histogram buckets: seconds for commands, numbers of commands for batches.
const BUCKETS: [f64; 9] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0];

/// Maximum size of a request, in bytes.
const MAX_REQUEST: u64 = 16 * 1024;

/// Aggregates recorded samples regularly. Otherwise they would use memory until the next scrape.
async fn run_upkeep(recorder: PrometheusHandle) {
    loop {
        sleep(Duration::from_secs(5)).await;
        recorder.run_upkeep();
    }
}

async fn answer_all(listener: TcpListener, recorder: PrometheusHandle) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answered = answer(stream, recorder.clone());
                // A client that is too slow or disconnects can send its request again.
                actix_rt::spawn(async { timeout(Duration::from_secs(10), answered).await });
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Answers one request with all metrics, after the empty line that ends its header.
async fn answer(mut stream: TcpStream, recorder: PrometheusHandle) -> io::Result<()> {
    let mut lines = BufReader::new((&mut stream).take(MAX_REQUEST)).lines();
    while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    let metrics = recorder.render();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        metrics.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(metrics.as_bytes()).await?;
    stream.shutdown().await
}
