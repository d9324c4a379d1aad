//! The endpoint that Prometheus scrapes: every request is answered with all metrics.

use std::{io, net::TcpListener as StdTcpListener, time::Duration};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// Installs the recorder, and answers requests for what it has recorded from now on.
///
/// # Errors
/// If the address is in use or none, or if there is another recorder.
pub(crate) fn serve(address: &str) -> io::Result<()> {
    let listener = StdTcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    println!("metrics on http://{}/metrics", listener.local_addr()?);
    // With buckets, a histogram is exported as one, so that those of several servers can be added up.
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).map_err(io::Error::other)?;
    let recorder = builder.install_recorder().map_err(io::Error::other)?;
    actix_rt::spawn(keep_house(recorder.clone()));
    actix_rt::spawn(answer_all(listener, recorder));
    Ok(())
}

/// Seconds for commands, and numbers of them for batches.
const BUCKETS: [f64; 9] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0];

/// Bytes of a request.
const MAX_REQUEST: u64 = 16 * 1024;

/// Has the recorder digest what it was told, which it would otherwise keep until it is scraped.
async fn keep_house(recorder: PrometheusHandle) {
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
                // Who is too slow, or gone, asks again.
                actix_rt::spawn(async { timeout(Duration::from_secs(10), answered).await });
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Answers one request, whatever it asks for, when its empty line has come.
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
