//! Clients that disconnect in the middle of a reply.

use std::{thread, time::Duration};

use fastrand::Rng;

use crate::{Result, batch::Batch, soak::Soak};

pub(crate) fn run(soak: &Soak, mut rng: Rng) -> Result<()> {
    let key = format!("killed{:x}", rng.u64(..)).into_bytes();
    let value = vec![b'x'; 1 << 20];
    soak.connect()?.ask(&Batch::of(&[b"SET", &key, &value], "+OK\r\n"))?;
    let get = Batch::of(&[b"GET", &key], "");
    while !soak.is_over() {
        let mut connection = soak.connect()?;
        connection.send(&get.requests.repeat(rng.usize(1..30)))?;
        for _ in 0..rng.u8(..50) {
            // The first reply is longer than all of these reads.
            if connection.read(rng.usize(1..20_000))?.is_empty() {
                return Err("the server closed the connection in the middle of a reply".into());
            }
        }
        if rng.bool() {
            connection.reset()?;
        }
        thread::sleep(Duration::from_millis(rng.u64(..50)));
    }
    soak.connect()?.ask(&Batch::of(&[b"DEL", &key], ":1\r\n"))
}
