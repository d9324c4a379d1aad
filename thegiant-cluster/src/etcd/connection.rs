//! Calls of etcd over gRPC.

use std::{
    error::Error,
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use prost::Message;
use thegiant_tls::ClientTls;
use tokio_stream::StreamExt;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tonic_prost::ProstCodec;

use super::{
    endpoint::Endpoint,
    messages::{AuthenticateRequest, AuthenticateResponse},
};

/// The endpoints of etcd, of which one is used at a time.
pub(super) struct Connection {
    endpoints: Vec<Endpoint>,
    channels: Vec<Channel>,
    current: AtomicUsize,
    user: Option<AuthenticateRequest>,
    token: Mutex<Option<MetadataValue<Ascii>>>,
}

impl Connection {
    /// # Errors
    /// If an address is invalid, or if there is none.
    pub(super) fn new(endpoints: impl IntoIterator<Item = impl AsRef<str>>) -> io::Result<Self> {
        let endpoints = endpoints.into_iter().map(|endpoint| Endpoint::parse(endpoint.as_ref()));
        let endpoints = endpoints.collect::<io::Result<Vec<_>>>()?;
        if endpoints.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "etcd needs an endpoint"));
        }
        let tls = ClientTls::new();
        Ok(Connection {
            channels: endpoints.iter().map(|endpoint| endpoint.channel(&tls)).collect(),
            endpoints,
            current: AtomicUsize::new(0),
            user: None,
            token: Mutex::default(),
        })
    }

    pub(super) fn set_user(&mut self, name: String, password: String) {
        self.user = Some(AuthenticateRequest { name, password });
    }

    /// # Errors
    /// If a file is unusable, or if no endpoint has TLS.
    pub(super) fn set_tls(&mut self, tls: &ClientTls) -> io::Result<()> {
        let Some(address) = self.endpoints.iter().find_map(Endpoint::encrypted) else {
            let mistake = "TLS of etcd needs endpoints of the form https://HOST:PORT";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, mistake));
        };
        // Reads the files once, for the errors.
        tls.connector(address)?;
        self.channels = self.endpoints.iter().map(|endpoint| endpoint.channel(tls)).collect();
        Ok(())
    }

    /// Calls a method.
    ///
    /// After an error, or if the call is given up, the next one uses another endpoint.
    pub(super) async fn call<Q, A>(&self, method: &'static str, request: Q) -> io::Result<A>
    where
        Q: Message + Clone + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let answer = match self.try_call(method, request.clone()).await {
            // The token of the user has expired.
            Err(status) if status.code() == Code::Unauthenticated => self.try_call(method, request).await,
            answer => answer,
        };
        answer.map_err(|status| self.described(&status))
    }

    async fn try_call<Q, A>(&self, method: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let attempt = Attempt::new(self);
        let request = self.with_token(Request::new(request), &attempt).await?;
        let answer = attempt.unary(method, request).await?;
        std::mem::forget(attempt);
        Ok(answer)
    }

    /// Calls a method that answers with a stream.
    pub(super) async fn stream<Q, A>(&self, method: &'static str, request: Q) -> io::Result<Streaming<A>>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let answers = self.try_stream(method, request).await;
        answers.map_err(|status| self.described(&status))
    }

    async fn try_stream<Q, A>(&self, method: &'static str, request: Q) -> Result<Streaming<A>, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let attempt = Attempt::new(self);
        // The stream ends when the requests do.
        let requests = tokio_stream::once(request).chain(tokio_stream::pending());
        let requests = self.with_token(Request::new(requests), &attempt).await?;
        let mut grpc = attempt.grpc().await?;
        let answers =
            grpc.streaming(requests, PathAndQuery::from_static(method), ProstCodec::default()).await?;
        std::mem::forget(attempt);
        Ok(answers.into_inner())
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

    /// Returns the error with its first cause, which says more than those around it.
    fn described(&self, status: &Status) -> io::Error {
        let mut cause: Option<&dyn Error> = status.source();
        while let Some(next) = cause.and_then(Error::source) {
            cause = Some(next);
        }
        let refusal = cause.and_then(|_| self.endpoints.iter().find_map(Endpoint::refusal));
        let cause = refusal.or(cause.map(ToString::to_string));
        io::Error::other(format!("etcd: {}", cause.as_deref().unwrap_or(status.message())))
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
