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

/// A running server; dropping it ends it.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts a program on a free port and waits until it answers.
    pub(crate) fn start(program: &Program, cpu: usize) -> Result<Server> {
        let address = program.address.map_or_else(free_address, Ok)?;
        // Wedged or not, it has nothing to save: KILL.
        let mut command = pinned::command(cpu, "KILL", &program.command_line(address));
        let child = command.stdout(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("setpriv (of util-linux) cannot be started: {error}"))?;
        let mut server = Server { child, address };
        server.wait_until_it_answers(&program.label, program.dialect)?;
        Ok(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The processor time it has used so far, user and system.
    pub(crate) fn cpu_nanoseconds(&self) -> Result<u64> {
        proc::cpu_nanoseconds(self.child.id())
    }

    /// Its resident memory.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        proc::resident_kib(self.child.id())
    }

    fn wait_until_it_answers(&mut self, label: &str, dialect: Dialect) -> Result<()> {
        let started = Instant::now();
        while ping(self.address, dialect).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{label} ended at once ({status})").into());
            }
            if started.elapsed() > START_DEADLINE {
                return Err(format!("{label} does not answer").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of the kernel's choice: every server gets a new one, so that the closed connections of the one before
/// never use up the addresses.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn ping(address: SocketAddr, dialect: Dialect) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_DEADLINE))?;
    if dialect == Dialect::Nats {
        // It speaks first.
        return stream.read_exact(&mut [0; b"INFO".len()]);
    }
    // Not every one knows inline commands.
    stream.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    stream.read_exact(&mut [0; b"+PONG\r\n".len()])
}
