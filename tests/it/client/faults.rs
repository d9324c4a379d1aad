use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use thegiant_client::{CallError, Connection, Value};

use super::run;

/// A server that accepts the handshake of one connection, and then does as the test says.
fn server(serve: impl FnOnce(TcpListener, TcpStream) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let thread = thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        read_request(&mut client, b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n");
        client.write_all(b"%1\r\n+proto\r\n:3\r\n").expect("the client reads");
        serve(listener, client);
    });
    (address, thread)
}

fn read_request(client: &mut TcpStream, expected: &[u8]) {
    let mut request = vec![0; expected.len()];
    client.read_exact(&mut request).expect("a request");
    assert_eq!(request, expected);
}

/// Calls a command of a server that replies with these bytes and waits for the end of the connection.
fn reply_with(bytes: impl Into<Vec<u8>>) -> Result<Value, CallError> {
    let bytes = bytes.into();
    let (address, thread) = server(move |_, mut client| {
        read_request(&mut client, b"*1\r\n$3\r\nGET\r\n");
        // The client may have closed the connection already.
        let _ = client.write_all(&bytes);
        let _ = client.read_to_end(&mut Vec::new());
    });
    let reply = run(async {
        let builder =
            Connection::builder(address).max_reply_len(1000).reply_timeout(Duration::from_millis(300));
        let connection = builder.start();
        connection.call::<Value>("GET").await
    });
    thread.join().expect("the server");
    reply
}

#[test]
fn a_hostile_server_is_an_error() {
    assert_eq!(reply_with(*b"+OK\r\n"), Ok(Value::Simple("OK".into())));
    // A push is no reply.
    assert_eq!(reply_with(*b">1\r\n+news\r\n:1\r\n"), Ok(Value::Integer(1)));
    for bytes in [
        b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
        b"$-5\r\n".to_vec(),
        b"*99999999999999999999\r\n".to_vec(),
        b":1x\r\n".to_vec(),
        b"\0\0\0\0".to_vec(),
        b"*1\r\n".repeat(200).into_iter().chain(*b":1\r\n").collect(),
        b"$2000\r\n".iter().copied().chain([b'a'; 2000]).collect(),
        b"*2000\r\n".iter().copied().chain(b"_\r\n".repeat(2000)).collect(),
        b"+".iter().copied().chain([b'a'; 2000]).collect(),
    ] {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert!(matches!(reply_with(bytes), Err(CallError::Lost(_))), "{shown}");
    }
    // Lengths without their bytes, and silence.
    for bytes in [&b"*1000000000\r\n"[..], b"$500000000\r\nabc", b"%1000000000\r\n+a\r\n", b""] {
        assert_eq!(reply_with(bytes), Err(CallError::Timeout));
    }
}

#[test]
fn a_reply_without_a_request_ends_the_connection() {
    let (address, thread) = server(|listener, mut client| {
        client.write_all(b"+stray\r\n").expect("the client reads");
        assert_eq!(client.read_to_end(&mut Vec::new()).expect("the end"), 0);
        drop(listener);
    });
    run(async {
        let connection = Connection::builder(address).start();
        tokio::task::spawn_blocking(|| thread.join().expect("the server")).await.expect("a thread");
        let error = connection.call::<Value>("GET").await.expect_err("an error");
        assert!(matches!(error, CallError::NotSent(_)), "{error:?}");
    });
}

#[test]
fn all_calls_fail_when_the_connection_is_lost() {
    let (address, thread) = server(|_, mut client| {
        read_request(&mut client, b"*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n");
        client.write_all(b":1\r\n:").expect("the client reads");
    });
    run(async {
        let connection = Connection::builder(address).start();
        let (a, b) = (connection.call::<i64>("a"), connection.call::<i64>("b"));
        let a = tokio::spawn(a);
        // The second call is sent after the first one, since it is polled later.
        let b = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            b.await
        };
        let b = b.await;
        assert_eq!(a.await.expect("no panic"), Ok(1));
        assert!(matches!(b, Err(CallError::Lost(_))), "{b:?}");
    });
    thread.join().expect("the server");
}

#[test]
fn a_connection_ends_with_its_last_handle() {
    let (address, thread) = server(|_, mut client| {
        read_request(&mut client, b"*1\r\n$3\r\nGET\r\n");
        client.write_all(b":1\r\n").expect("the client reads");
        assert_eq!(client.read_to_end(&mut Vec::new()).expect("the end"), 0);
    });
    run(async {
        let connection = Connection::builder(address).start();
        assert_eq!(connection.clone().call::<i64>("GET").await, Ok(1));
        drop(connection);
        tokio::task::spawn_blocking(|| thread.join().expect("the server")).await.expect("a thread");
    });
}

#[test]
fn a_server_that_cannot_be_reached_is_an_error() {
    run(async {
        for address in ["unix:/nonexistent/socket", "127.0.0.1:1", "no address"] {
            let error = Connection::connect(address).await.expect_err("an error");
            assert!(matches!(error, CallError::NotSent(_)) && error.to_string().contains(address), "{error}");
        }
    });
}
