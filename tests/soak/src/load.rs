//! Sends valid commands in pipelines of random depth, split at random positions, and checks every reply.

use std::{
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::{
    Result,
    batch::{Batch, request},
    connection::Connection,
    model::{Model, Protocol},
    soak::Soak,
};

const MIB: usize = 1024 * 1024;

pub(crate) fn run(soak: &Soak, mut rng: Rng) -> Result<()> {
    let mut model = Model::new(rng.fork(), soak.has_shards);
    while !soak.is_over() {
        let mut connection = connect(soak, &mut model, &mut rng)?;
        for _ in 0..rng.u32(1..2000) {
            exchange(soak, &mut connection, &mut model, &mut rng)?;
            if soak.is_over() {
                break;
            }
            thread::sleep(Duration::from_micros(rng.u64(..3000)));
        }
        disconnect(soak, connection, &mut model, &mut rng)?;
    }
    let mut connection = connect(soak, &mut model, &mut rng)?;
    for batch in model.audit() {
        connection.ask(&batch)?;
        soak.checked(batch.len());
    }
    Ok(())
}

fn connect(soak: &Soak, model: &mut Model, rng: &mut Rng) -> Result<Connection> {
    let mut connection = soak.connect()?;
    let protocol = if rng.bool() { Protocol::Resp3 } else { Protocol::Resp2 };
    if protocol == Protocol::Resp3 {
        connection.send(&request(&[b"HELLO", b"3"]))?;
        connection.skip_map()?;
    }
    model.connected(protocol);
    Ok(connection)
}

/// Sends one batch and checks its replies.
fn exchange(soak: &Soak, connection: &mut Connection, model: &mut Model, rng: &mut Rng) -> Result<()> {
    if rng.u32(..1000) == 0 {
        let len = if rng.u8(..10) == 0 { 8 * MIB } else { rng.usize(16 * 1024..MIB) };
        let batch = model.large_batch(len);
        send_in_pieces(connection, &batch, rng)?;
        connection.expect(&batch)?;
        soak.checked(batch.len());
        return Ok(());
    }
    let depth = match rng.u8(..20) {
        0..10 => 1,
        10..19 => rng.usize(1..30),
        _ => rng.usize(1..600),
    };
    let batch =
        if rng.u8(..8) == 0 { model.accepted_batch(depth).in_transaction() } else { model.batch(depth) };
    let sent = send_in_pieces(connection, &batch, rng)?;
    connection.expect(&batch)?;
    soak.record_latency(sent.elapsed());
    soak.checked(batch.len());
    model.answered();
    Ok(())
}

/// Returns the time just before the last piece was sent.
fn send_in_pieces(connection: &mut Connection, batch: &Batch, rng: &mut Rng) -> Result<Instant> {
    let mut rest = &batch.requests[..];
    let cuts = if rng.u8(..3) == 0 { rng.usize(1..8) } else { 0 };
    for _ in 0..cuts {
        let (piece, remaining) = rest.split_at(rng.usize(..rest.len()));
        connection.send(piece)?;
        rest = remaining;
        // The pause lets the server read the pieces separately.
        thread::sleep(Duration::from_micros(rng.u64(..500)));
    }
    let begun = Instant::now();
    connection.send(rest)?;
    Ok(begun)
}

/// Closes the connection in one of the ways in which clients disconnect.
fn disconnect(soak: &Soak, mut connection: Connection, model: &mut Model, rng: &mut Rng) -> Result<()> {
    match rng.u8(..5) {
        0 => connection.reset()?,
        1 => {
            connection.ask(&Batch::of(&[b"QUIT"], "+OK\r\n"))?;
            connection.expect_end()?;
        }
        2 => {
            connection.half_close()?;
            connection.expect_end()?;
        }
        3 => be_killed(soak, connection, model, rng)?,
        _ => {}
    }
    Ok(())
}

/// Lets an operator kill the client while a batch runs: the replies end, but none is wrong.
fn be_killed(soak: &Soak, mut connection: Connection, model: &mut Model, rng: &mut Rng) -> Result<()> {
    let id = connection.id()?.to_string();
    let depth = rng.usize(1..600);
    let batch = if rng.bool() { model.accepted_batch(depth).in_transaction() } else { model.batch(depth) };
    let mut operator = soak.connect()?;
    connection.send(&batch.requests)?;
    thread::sleep(Duration::from_micros(rng.u64(..2000)));
    operator.ask(&Batch::of(&[b"CLIENT", b"KILL", b"ID", id.as_bytes()], ":1\r\n"))?;
    connection.expect_until_end(&batch)?;
    // The commands behind the last reply may have run, too. Those of the next connection run after them.
    let mut connection = connect(soak, model, rng)?;
    for batch in model.set_all() {
        connection.ask(&batch)?;
        soak.checked(batch.len());
    }
    Ok(())
}
