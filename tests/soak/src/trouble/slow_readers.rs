//! Clients that request more than the socket buffers hold, and read it slowly and in small pieces.

use fastrand::Rng;

use crate::{
    Result,
    batch::{Batch, bulk},
    soak::Soak,
};

pub(crate) fn run(soak: &Soak, mut rng: Rng) -> Result<()> {
    let key = format!("slow{:x}", rng.u64(..)).into_bytes();
    while !soak.is_over() {
        let mut connection = soak.connect()?;
        let value = vec![rng.u8(..); rng.usize(10_000..300_000)];
        connection.ask(&Batch::of(&[b"SET", &key, &value], "+OK\r\n"))?;
        let get = Batch::of(&[b"GET", &key], bulk(&value));
        let count = rng.usize(10..100);
        connection.send(&get.requests.repeat(count))?;
        // Some clients disconnect before they have read everything.
        for _ in 0..rng.usize(..2 * count).min(count) {
            connection.expect_slowly(&get, &mut rng)?;
            soak.checked(1);
            if soak.is_over() {
                break;
            }
        }
    }
    soak.connect()?.ask(&Batch::of(&[b"DEL", &key], ":1\r\n"))
}
