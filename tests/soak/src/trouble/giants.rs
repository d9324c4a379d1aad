//! Clients that announce huge requests, send few bytes of them, and stay connected.

use std::{thread, time::Duration};

use fastrand::Rng;

use crate::{Result, soak::Soak};

const MAX_OPEN: usize = 300;

const ANNOUNCED: &[&[u8]] = &[
    b"*2147483647\r\n",
    b"*2147483647\r\n$3\r\nSET\r\n",
    b"*2\r\n$4\r\nECHO\r\n$536870912\r\n",
    b"*2\r\n$4\r\nECHO\r\n$536870912\r\nthe first of it",
    b"*1000000\r\n$3\r\nDEL\r\n$536870912\r\n",
    b"PING\r\n*3\r\n$536870912\r\nSET",
];

pub(crate) fn run(soak: &Soak, mut rng: Rng) -> Result<()> {
    let mut open = Vec::new();
    while !soak.is_over() {
        let mut connection = soak.connect()?;
        connection.send(ANNOUNCED[rng.usize(..ANNOUNCED.len())])?;
        open.push(connection);
        if open.len() > MAX_OPEN {
            let leaving = open.swap_remove(rng.usize(..open.len()));
            if rng.bool() {
                leaving.reset()?;
            }
            thread::sleep(Duration::from_millis(rng.u64(..20)));
        }
    }
    Ok(())
}
