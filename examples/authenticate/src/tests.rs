//! Logs in with a server of tokens that knows two of them.

use thegiant::test::TestServer;
use tokio::net::TcpListener;

use super::*;

/// Starts the server of tokens and returns its address.
async fn token_server() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n")
                && stream.read_buf(&mut request).await.is_ok_and(|read| read > 0)
            {}
            let answer = match String::from_utf8_lossy(&request).split("Bearer ").nth(1).map(str::trim_end) {
                Some("a-token") => "200 OK\r\n\r\n{\"sub\": \"alice\", \"role\": \"writer\"}",
                Some("b-token") => "200 OK\r\n\r\n{\"sub\": \"bob\", \"role\": \"reader\"}",
                Some("broken") => "200 OK\r\n\r\n",
                Some("evil") => "200 OK\r\n\r\n{\"sub\": \"*\"}",
                _ => "401 Unauthorized\r\n\r\n",
            };
            let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await;
        }
    });
    Ok(address)
}

#[thegiant::test]
async fn tokens_say_who_a_client_is_and_what_it_may_do() -> io::Result<()> {
    let server = TestServer::start(app(token_server().await?));
    let mut client = server.connect();
    let no_auth = Value::Error(Error::NO_AUTH);
    let wrong = Value::Error(Error::WRONG_PASSWORD);
    let no_key = "NOPERM this user has no permissions to access one of the keys used as arguments";
    let no_set = "NOPERM this user has no permissions to run the 'set' command";
    for (request, reply) in [
        ("SET alice:1 x", no_auth),
        ("AUTH alice nope", wrong.clone()),
        ("AUTH bob a-token", wrong.clone()),
        ("AUTH alice x\r\nHost:y", wrong),
        ("AUTH alice broken", Value::Error(Error::INTERNAL)),
        ("AUTH * evil", Value::Error(Error::INTERNAL)),
        ("AUTH alice a-token", Value::simple("OK")),
        ("SET alice:1 x", Value::simple("OK")),
        ("GET bob:1", Value::Error(Error::from_static(no_key))),
        ("AUTH b-token", Value::simple("OK")),
        ("SET bob:1 x", Value::Error(Error::from_static(no_set))),
        ("GET bob:1", Value::Null),
    ] {
        assert_eq!(client.call(request.split(' ').collect::<Vec<_>>()).await, reply, "{request}");
    }
    Ok(())
}
