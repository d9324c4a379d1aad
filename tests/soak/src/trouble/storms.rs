//! Many clients that connect and disconnect at once, with or without a request, gracefully or not.

use std::{thread, time::Duration};

use fastrand::Rng;

use crate::{Result, batch::Batch, connection::Connection, soak::Soak};

pub(crate) fn run(soak: &Soak, mut rng: Rng) -> Result<()> {
    let ping = Batch::of(&[b"PING"], "+PONG\r\n");
    while !soak.is_over() {
        let connections: Result<Vec<Connection>> = (0..rng.u8(20..100)).map(|_| soak.connect()).collect();
        for mut connection in connections? {
            match rng.u8(..4) {
                0 => {}
                1 => connection.send(&ping.requests)?,
                _ => {
                    connection.ask(&ping)?;
                    soak.checked(1);
                }
            }
            if rng.bool() {
                connection.reset()?;
            }
        }
        thread::sleep(Duration::from_millis(rng.u64(100..400)));
    }
    Ok(())
}
