//! A server with the replies that a test chooses.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use crate::support::Reply;

/// A server that replies to `PING` and `COMMAND`, and to other requests as the test says. Dropping it stops it.
pub(super) struct Fake {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The replies to requests, by their words.
    replies: HashMap<String, String>,
    /// The requests so far, except for `PING`, `COMMAND` and `CLUSTER`.
    requests: Vec<String>,
    is_stopped: bool,
}

/// The time between two checks whether the server is stopped.
const PAUSE: Duration = Duration::from_millis(5);

/// `GET`, `SET` and `XREAD STREAMS` with their keys, and `PUBLISH`.
const COMMAND: &str = "*4\r\n*6\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n\
    *6\r\n$3\r\nset\r\n:-3\r\n*1\r\n+write\r\n:1\r\n:1\r\n:1\r\n\
    *6\r\n$5\r\nxread\r\n:-4\r\n*1\r\n+readonly\r\n:2\r\n:2\r\n:1\r\n\
    *6\r\n$7\r\npublish\r\n:3\r\n*1\r\n+pubsub\r\n:0\r\n:0\r\n:0\r\n";

impl Fake {
    /// Starts a server at a free port of this host, with the replies to some requests.
    pub(super) fn start<const N: usize>(host: &str, replies: [(&str, &str); N]) -> Self {
        Self::on(TcpListener::bind((host, 0)).expect("a free port"), replies)
    }

    /// Starts a server that listens already, with the replies to some requests.
    pub(super) fn on<const N: usize>(listener: TcpListener, replies: [(&str, &str); N]) -> Self {
        listener.set_nonblocking(true).expect("a listener can be non-blocking");
        let address = listener.local_addr().expect("it is bound").to_string();
        let fake = Fake { address, state: Arc::default() };
        replies.into_iter().for_each(|(request, reply)| fake.reply(request, reply));
        let state = Arc::clone(&fake.state);
        thread::spawn(move || {
            while !lock(&state).is_stopped {
                match listener.accept() {
                    Ok((stream, _)) => {
                        let state = Arc::clone(&state);
                        thread::spawn(move || serve(stream, &state));
                    }
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        });
        fake
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn port(&self) -> &str {
        self.address.rsplit_once(':').expect("a port").1
    }

    /// Sets the reply to a request, which other servers of the test may also name.
    pub(super) fn reply(&self, request: &str, reply: &str) {
        lock(&self.state).replies.insert(request.to_owned(), format!("{reply}\r\n"));
    }

    /// Returns how often the server got a request.
    pub(super) fn count(&self, request: &str) -> usize {
        lock(&self.state).requests.iter().filter(|known| *known == request).count()
    }

    /// Returns the requests so far, except for `PING`, `COMMAND` and `CLUSTER`.
    pub(super) fn requests(&self) -> Vec<String> {
        let state = lock(&self.state);
        state.requests.iter().filter(|request| !request.starts_with("CLUSTER ")).cloned().collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        lock(&self.state).is_stopped = true;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no thread panics with the lock")
}

/// Serves a connection. Each read is assumed to contain whole requests, because they are short.
fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    stream.set_nonblocking(false).expect("a stream can be blocking");
    stream.set_read_timeout(Some(PAUSE)).expect("the timeout is not zero");
    let mut buffer = [0; 65536];
    while !lock(state).is_stopped {
        let read = match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => return,
        };
        let mut rest = &buffer[..read];
        let mut replies = String::new();
        while let Some((request, after)) = first_request(rest) {
            replies.push_str(&lock(state).answer(&request));
            rest = after;
        }
        if stream.write_all(replies.as_bytes()).is_err() {
            return;
        }
    }
}

/// Returns the words of the first request, and the bytes after it.
fn first_request(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (Reply::Array(words), rest) = Reply::parse(bytes)? else { return None };
    let words = words.into_iter().map(|word| match word {
        Reply::Bulk(word) => String::from_utf8_lossy(&word).into_owned(),
        other => panic!("{other:?} is no word"),
    });
    Some((words.collect::<Vec<_>>().join(" "), rest))
}

impl State {
    fn answer(&mut self, request: &str) -> String {
        match request {
            "PING" => "+PONG\r\n".to_owned(),
            "COMMAND" => COMMAND.to_owned(),
            _ => {
                self.requests.push(request.to_owned());
                self.replies.get(request).cloned().unwrap_or_else(|| "-ERR unknown command\r\n".to_owned())
            }
        }
    }
}
