//! Clients that send a part of a request, and the rest much later or never.

use std::{thread, time::Duration};

use fastrand::Rng;

use crate::{
    Result,
    batch::{Batch, bulk, request},
    connection::Connection,
    soak::Soak,
};

const MAX_OPEN: usize = 200;

/// A client with a batch of which it has sent `sent` bytes.
struct Half {
    connection: Connection,
    batch: Batch,
    sent: usize,
}

pub(crate) fn run(soak: &Soak, mut rng: Rng) -> Result<()> {
    let mut halves = Vec::new();
    while !soak.is_over() {
        if halves.len() < MAX_OPEN {
            halves.push(begin(soak, &mut rng)?);
        } else {
            let half = halves.swap_remove(rng.usize(..MAX_OPEN));
            match rng.u8(..8) {
                0 => half.connection.reset()?,
                1 => drop(half),
                _ => finish(soak, half)?,
            }
            thread::sleep(Duration::from_millis(rng.u64(..20)));
        }
    }
    halves.into_iter().try_for_each(|half| finish(soak, half))
}

fn begin(soak: &Soak, rng: &mut Rng) -> Result<Half> {
    let mut connection = soak.connect()?;
    let text = vec![rng.u8(..); rng.usize(..40_000)];
    let mut batch = Batch::default();
    for _ in 0..rng.u8(1..4) {
        match rng.u8(..3) {
            0 => batch.push(b"ECHO \"\\x68\\x69\" \r\n", "$2\r\nhi\r\n"),
            1 => batch.push(b"*0\r\n\r\n*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
            _ => batch.push(&request(&[b"ECHO", &text]), bulk(&text)),
        }
    }
    let sent = rng.usize(1..batch.requests.len());
    connection.send(&batch.requests[..sent])?;
    Ok(Half { connection, batch, sent })
}

fn finish(soak: &Soak, mut half: Half) -> Result<()> {
    half.connection.send(&half.batch.requests[half.sent..])?;
    half.connection.expect(&half.batch)?;
    soak.checked(half.batch.len());
    Ok(())
}
