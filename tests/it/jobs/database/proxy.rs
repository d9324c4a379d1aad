//! A proxy between `jobs` and PostgreSQL.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use crate::support::{ANY_PORT, Postgres, eventually};

/// Forwards connections to a server.
pub(super) struct Proxy {
    address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
}

/// The treatment of the bytes that the proxy reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forwards,
    /// It accepts connections, reads and keeps all of it.
    IsSilent,
    /// It loses the reply to a message with this text, after this number of them.
    LosesReply {
        text: &'static str,
        skipped: usize,
    },
    /// It has forwarded the message, and loses its reply.
    LosesNext,
    /// It has closed the connection in place of the reply, and accepts no other.
    IsDown,
}

impl Proxy {
    pub(super) fn start(server: &Postgres) -> Self {
        let socket = server.socket();
        let listener = TcpListener::bind(ANY_PORT).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mode = Arc::new(Mutex::new(Mode::Forwards));
        let proxy = Proxy { address, mode: Arc::clone(&mode) };
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                if *lock(&mode) == Mode::IsDown {
                    continue;
                }
                let Ok(server) = UnixStream::connect(&socket) else { return };
                let from_client = client.try_clone().expect("a socket");
                let from_server = server.try_clone().expect("a socket");
                let modes = [&mode, &mode].map(Arc::clone);
                let [requests, replies] = modes;
                thread::spawn(move || forward_requests(from_client, server, &requests));
                thread::spawn(move || forward_replies(from_server, client, &replies));
            }
        });
        proxy
    }

    /// Returns a URL with these options.
    pub(super) fn url(&self, options: &str) -> String {
        format!("postgres://test@{}/postgres?{options}", self.address)
    }

    pub(super) fn be_silent(&self) {
        *lock(&self.mode) = Mode::IsSilent;
    }

    /// Forwards the next message with a text, after `skipped` of them, and closes its connection in place of the reply.
    pub(super) fn lose_reply(&self, text: &'static str, skipped: usize) {
        *lock(&self.mode) = Mode::LosesReply { text, skipped };
    }

    /// Waits until a reply was lost. From now on, the proxy accepts no connection.
    pub(super) fn wait_until_down(&self) {
        eventually(|| (*lock(&self.mode) == Mode::IsDown).then_some(()));
    }

    pub(super) fn forward_again(&self) {
        *lock(&self.mode) = Mode::Forwards;
    }
}

fn lock(mode: &Mutex<Mode>) -> MutexGuard<'_, Mode> {
    mode.lock().expect("no thread panics with it")
}

fn forward_requests(mut client: TcpStream, mut server: UnixStream, mode: &Mutex<Mode>) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = client.read(&mut buffer) {
        let bytes = &buffer[..len];
        {
            let mut mode = lock(mode);
            match &mut *mode {
                Mode::IsSilent => continue,
                Mode::LosesReply { text, skipped } if has(bytes, text) => match skipped {
                    0 => *mode = Mode::LosesNext,
                    _ => *skipped -= 1,
                },
                _ => {}
            }
        }
        if server.write_all(bytes).is_err() {
            break;
        }
    }
    // The server may have closed the connection.
    let _ = server.shutdown(Shutdown::Both);
}

fn forward_replies(mut server: UnixStream, mut client: TcpStream, mode: &Mutex<Mode>) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = server.read(&mut buffer) {
        {
            let mut mode = lock(mode);
            match *mode {
                Mode::IsSilent => continue,
                Mode::LosesNext => {
                    *mode = Mode::IsDown;
                    break;
                }
                _ => {}
            }
        }
        if client.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    // The client may have closed the connection.
    let _ = client.shutdown(Shutdown::Both);
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
