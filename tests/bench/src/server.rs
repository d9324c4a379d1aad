//! A server under measurement.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::pinned;
use crate::proc;
use crate::program::{Dialect, Program};

const START_DEADLINE: Duration = Duration::from_secs(10);

/// A running server. Dropping it kills the process.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    counted_at: SocketAddr,
}

impl Server {
    /// Starts a program on a free port and waits until it replies.
    pub(crate) fn start(program: &Program, cpus: &str) -> Result<Server> {
        let address = program.address.map_or_else(free_address, Ok)?;
        // KILL also ends a hung server, and no data needs saving.
        let mut command = pinned::command(cpus, "KILL", &program.command_line(address));
        let child = command.stdout(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("cannot start setpriv (of util-linux): {error}"))?;
        let counted_at = program.counted_at.unwrap_or(address);
        let mut server = Server { child, address, counted_at };
        server.wait_until_ready(&program.label, program.dialect)?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address of the server that counts its commands.
    pub(crate) fn counted_at(&self) -> SocketAddr {
        self.counted_at
    }

    /// Returns the CPU time used so far, user and system.
    pub(crate) fn cpu_nanoseconds(&self) -> Result<u64> {
        proc::cpu_nanoseconds(self.child.id())
    }

    /// Returns the resident memory.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        proc::resident_kib(self.child.id())
    }

    fn wait_until_ready(&mut self, label: &str, dialect: Dialect) -> Result<()> {
        let started = Instant::now();
        while ping(self.address, dialect).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{label} exited during startup ({status})").into());
            }
            if started.elapsed() > START_DEADLINE {
                return Err(format!("timeout: {label} does not reply").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both calls fail only if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns an address with a port that the kernel chooses.
///
/// Every server gets a new port, because closed connections of the previous server still occupy its addresses.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn ping(address: SocketAddr, dialect: Dialect) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_DEADLINE))?;
    if dialect == Dialect::Nats {
        // A NATS server sends the first message.
        return stream.read_exact(&mut [0; b"INFO".len()]);
    }
    // Not every server supports inline commands.
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    stream.read_exact(&mut [0; b"+PONG\r\n".len()])
}
