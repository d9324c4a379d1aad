//! Calls of etcd over gRPC.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use prost::Message;
use tokio_stream::StreamExt;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::messages::{AuthenticateRequest, AuthenticateResponse};

/// Time to connect to one endpoint.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Interval of the pings that find out that a connection is lost, and the time to answer them.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The endpoints of etcd, of which one is used at a time.
pub(super) struct Connection {
    channels: Vec<Channel>,
    current: AtomicUsize,
    user: Option<AuthenticateRequest>,
    token: Mutex<Option<MetadataValue<Ascii>>>,
}

impl Connection {
    /// # Errors
    /// If an address is invalid, or if there is none.
    pub(super) fn new(endpoints: impl IntoIterator<Item = impl AsRef<str>>) -> io::Result<Self> {
        let channel = |endpoint: &str| {
            let mistake = |error| {
                let text =
                    format!("{endpoint:?} is no endpoint of etcd, such as http://10.0.0.1:2379: {error}");
                io::Error::new(io::ErrorKind::InvalidInput, text)
            };
            let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(mistake)?;
            let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).keep_alive_timeout(KEEP_ALIVE);
            Ok(endpoint.http2_keep_alive_interval(KEEP_ALIVE).connect_lazy())
        };
        let channels = endpoints.into_iter().map(|endpoint| channel(endpoint.as_ref()));
        let channels = channels.collect::<io::Result<Vec<_>>>()?;
        if channels.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "etcd needs an endpoint"));
        }
        Ok(Connection { channels, current: AtomicUsize::new(0), user: None, token: Mutex::default() })
    }

    pub(super) fn set_user(&mut self, name: String, password: String) {
        self.user = Some(AuthenticateRequest { name, password });
    }

    /// Calls a method. After an error, or if the call is given up, the next one uses another endpoint.
    pub(super) async fn call<Q, A>(&self, method: &'static str, request: Q) -> io::Result<A>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let attempt = Attempt::new(self);
        let request = self.with_token(Request::new(request), &attempt).await.map_err(described)?;
        let answer = attempt.unary(method, request).await.map_err(described)?;
        std::mem::forget(attempt);
        Ok(answer)
    }

    /// Calls a method that answers with a stream.
    pub(super) async fn stream<Q, A>(&self, method: &'static str, request: Q) -> io::Result<Streaming<A>>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let attempt = Attempt::new(self);
        // The stream ends when the requests do.
        let requests = tokio_stream::once(request).chain(tokio_stream::pending());
        let requests = self.with_token(Request::new(requests), &attempt).await.map_err(described)?;
        let mut grpc = attempt.grpc().await.map_err(described)?;
        let codec = ProstCodec::default();
        let answers = grpc.streaming(requests, PathAndQuery::from_static(method), codec).await;
        let answers = answers.map_err(described)?.into_inner();
        std::mem::forget(attempt);
        Ok(answers)
    }

    /// Adds what etcd has to know, such as the token of the user.
    async fn with_token<Q>(
        &self,
        mut request: Request<Q>,
        attempt: &Attempt<'_>,
    ) -> Result<Request<Q>, Status> {
        // An endpoint that the others cannot reach answers with an error at once.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        if let Some(user) = &self.user {
            let known = self.token().clone();
            let token = match known {
                Some(token) => token,
                None => {
                    let user = Request::new(user.clone());
                    let answer = attempt.unary("/etcdserverpb.Auth/Authenticate", user).await?;
                    let AuthenticateResponse { token } = answer;
                    let token = token.parse().map_err(|_| Status::internal("etcd has sent a wrong token"))?;
                    self.token().insert(token).clone()
                }
            };
            request.metadata_mut().insert("token", token);
        }
        Ok(request)
    }

    fn token(&self) -> std::sync::MutexGuard<'_, Option<MetadataValue<Ascii>>> {
        // No code panics while it holds the lock.
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call. Unless it succeeds, the next call uses another endpoint and another token.
struct Attempt<'a> {
    connection: &'a Connection,
    endpoint: usize,
}

impl<'a> Attempt<'a> {
    fn new(connection: &'a Connection) -> Self {
        Attempt { connection, endpoint: connection.current.load(Relaxed) }
    }

    async fn grpc(&self) -> Result<Grpc<Channel>, Status> {
        let channels = &self.connection.channels;
        let mut grpc = Grpc::new(channels[self.endpoint % channels.len()].clone());
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        Ok(grpc)
    }

    async fn unary<Q, A>(&self, method: &'static str, request: Request<Q>) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.grpc().await?;
        let answer = grpc.unary(request, PathAndQuery::from_static(method), ProstCodec::default()).await?;
        Ok(answer.into_inner())
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let (old, next) = (self.endpoint, self.endpoint.wrapping_add(1));
        // Another call may have failed, too.
        let _ = self.connection.current.compare_exchange(old, next, Relaxed, Relaxed);
        *self.connection.token() = None;
    }
}

fn described(status: Status) -> io::Error {
    io::Error::other(format!("etcd: {}", status.message()))
}
