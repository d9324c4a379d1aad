//! An operator who pauses all clients for a moment.

use std::{thread, time::Duration};

use fastrand::Rng;

use crate::{Result, batch::Batch, soak::Soak};

pub(crate) fn run(soak: &Soak, mut rng: Rng) -> Result<()> {
    let mut connection = soak.connect()?;
    while !soak.is_over() {
        let mode: &[u8] = if rng.bool() { b"WRITE" } else { b"ALL" };
        let pause = Batch::of(&[b"CLIENT", b"PAUSE", rng.u8(1..20).to_string().as_bytes(), mode], "+OK\r\n");
        connection.ask(&pause)?;
        soak.checked(1);
        if rng.u8(..4) == 0 {
            connection.ask(&Batch::of(&[b"CLIENT", b"UNPAUSE"], "+OK\r\n"))?;
            soak.checked(1);
        }
        thread::sleep(Duration::from_millis(rng.u64(500..1500)));
    }
    Ok(())
}
