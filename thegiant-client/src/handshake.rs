//! The first requests of a connection.

use thegiant_resp::{Protocol, RequestBuilder, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{
    ConnectionBuilder,
    error::{CLOSED, lost},
    receiver::Receiver,
};

/// Authenticates and chooses the protocol and the database. Returns the receiver for all further replies.
///
/// # Errors
/// The reason why the server refuses the connection.
pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    options: &ConnectionBuilder,
) -> Result<Receiver, String> {
    let requests = requests(options);
    let mut bytes = Vec::new();
    requests.iter().for_each(|request| request.append_to(&mut bytes));
    stream.write_all(&bytes).await.map_err(lost)?;
    // TLS keeps what does not fill a record.
    stream.flush().await.map_err(lost)?;
    let mut receiver = Receiver::new(options.max_reply_len);
    let mut read = [0; 1024];
    for _ in requests {
        let reply = loop {
            if let Some(reply) = receiver.next()? {
                break reply;
            }
            match stream.read(&mut read).await.map_err(lost)? {
                0 => return Err(CLOSED.to_owned()),
                len => receiver.extend(&read[..len]),
            }
        };
        if let Value::Error(error) = reply {
            return Err(format!("the server refuses the connection: {error}"));
        }
    }
    Ok(receiver)
}

fn requests(options: &ConnectionBuilder) -> Vec<RequestBuilder> {
    let auth = options.password.as_deref().map(|password| (options.user.as_deref(), password));
    let name = options.name.as_deref();
    let mut requests = Vec::new();
    match options.protocol {
        Protocol::Resp3 => {
            let mut hello = RequestBuilder::new("HELLO 3");
            hello.arg(&auth.map(|(user, password)| ("AUTH", user.unwrap_or("default"), password)));
            hello.arg(&name.map(|name| ("SETNAME", name)));
            requests.push(hello);
        }
        Protocol::Resp2 => {
            let auth = auth.map(|auth| ("AUTH", auth));
            let name = name.map(|name| ("CLIENT", "SETNAME", name));
            requests.extend(auth.map(|words| request(&words)));
            requests.extend(name.map(|words| request(&words)));
        }
    }
    if options.db != 0 {
        requests.push(request(&("SELECT", options.db)));
    }
    requests
}

fn request(words: &impl thegiant_resp::ToArgs) -> RequestBuilder {
    let mut request = RequestBuilder::default();
    request.arg(words);
    request
}
