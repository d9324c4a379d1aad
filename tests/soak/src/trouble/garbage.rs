//! Clients that violate the protocol: the server replies with an error and closes the connection.

use std::{thread, time::Duration};

use fastrand::Rng;

use crate::{Result, batch::Batch, soak::Soak};

const BROKEN: &[(&[u8], &str)] = &[
    (b"*x\r\n", "invalid multibulk length"),
    (b"*2147483648\r\n", "invalid multibulk length"),
    (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
    (b"*1\r\n$536870913\r\n", "invalid bulk length"),
    (b"*2\r\n$4\r\nECHO\r\n$-1\r\n", "invalid bulk length"),
    (b"*1\r\n*1\r\n*1\r\n", "expected '$', got '*'"),
    (b"*1\r\n$4\r\nPINGPING\r\n", "expected CRLF after bulk"),
    (b"ECHO \"x\\x4\r\n", "unbalanced quotes in request"),
];

pub(crate) fn run(soak: &Soak, mut rng: Rng) -> Result<()> {
    while !soak.is_over() {
        let mut connection = soak.connect()?;
        if rng.bool() {
            let (bytes, error) = BROKEN[rng.usize(..BROKEN.len())];
            let mut batch = Batch::default();
            batch.push(b"PING\r\n", "+PONG\r\n");
            batch.push(bytes, format!("-ERR Protocol error: {error}\r\n"));
            connection.ask(&batch)?;
            connection.expect_end()?;
            soak.checked(batch.len());
        } else {
            let mut noise = vec![0; rng.usize(1..5000)];
            rng.fill(&mut noise);
            connection.send(&noise)?;
            connection.half_close()?;
            connection.drain()?;
        }
        thread::sleep(Duration::from_millis(rng.u64(..20)));
    }
    Ok(())
}
