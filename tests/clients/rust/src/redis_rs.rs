use futures_util::StreamExt;
use redis::{
    AsyncCommands, AsyncConnectionConfig, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    PushInfo, PushKind, RedisError, ServerErrorKind, Value,
    aio::{ConnectionManager, ConnectionManagerConfig, SendError},
    from_redis_value,
};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::checks::{self, Failure, Listener, Reply, Server, Words};

/// The `redis` crate with its `ConnectionManager`, which reconnects by itself.
pub struct Client(ConnectionManager);

impl checks::Client for Client {
    const NAME: &'static str = "redis";

    async fn connect(server: Server) -> Reply<Self> {
        connect(client(server, 0)?).await.map(Self)
    }

    /// The crate has no option for the name, so the program sends the command.
    async fn connect_tester(server: Server) -> Reply<Self> {
        let mut connection = connect(client(server, 3)?).await?;
        let () = redis::cmd("CLIENT").arg("SETNAME").arg("tester").query_async(&mut connection).await?;
        Ok(Self(connection))
    }

    async fn set(&mut self, key: &[u8], value: &[u8]) -> Reply<()> {
        Ok(self.0.set(key, value).await?)
    }

    async fn get(&mut self, key: &[u8]) -> Reply<Option<Vec<u8>>> {
        Ok(self.0.get(key).await?)
    }

    async fn call(&mut self, words: Words) -> Reply<String> {
        Ok(command(&words).query_async(&mut self.0).await?)
    }

    async fn pipeline(&mut self, commands: Vec<Words>) -> Vec<Reply<String>> {
        let mut pipeline = redis::pipe();
        for words in &commands {
            pipeline.add_command(command(words));
        }
        let replies: Result<Vec<Result<Value, RedisError>>, _> =
            pipeline.ignore_errors().query_async(&mut self.0).await;
        match replies {
            Ok(replies) => replies.into_iter().map(|reply| Ok(text(reply?)?)).collect(),
            Err(error) => vec![Err(error.into())],
        }
    }

    async fn transaction(&mut self, commands: Vec<Words>) -> Option<Reply<Vec<String>>> {
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        for words in &commands {
            pipeline.add_command(command(words));
        }
        Some(pipeline.query_async(&mut self.0).await.map_err(Into::into))
    }

    async fn count_up(&mut self, key: &str) -> Option<Reply<bool>> {
        Some(self.try_to_count_up(key).await.map_err(Into::into))
    }

    async fn pop(&mut self, list: &str) -> Option<Reply<(String, String)>> {
        Some(self.0.blpop(list, 60.0).await.map_err(Into::into))
    }

    async fn log_in(server: Server, user: &str, password: &str) -> Option<Reply<Self>> {
        Some(log_in(server, user, password).await)
    }

    async fn scan(&mut self, prefix: &str) -> Option<Reply<Vec<String>>> {
        Some(self.try_to_scan(prefix).await.map_err(Into::into))
    }

    /// Uses pushes on a normal connection with RESP3, and a Pub/Sub connection with RESP2.
    async fn listen(server: Server, channel: &str, pattern: &str) -> Option<Reply<Listener>> {
        Some(listen(server, channel, pattern).await.map_err(Into::into))
    }
}

impl Client {
    async fn try_to_count_up(&mut self, key: &str) -> Result<bool, RedisError> {
        let () = redis::cmd("WATCH").arg(key).query_async(&mut self.0).await?;
        let number: Option<i64> = self.0.get(key).await?;
        let mut transaction = redis::pipe();
        transaction.atomic().set(key, number.unwrap_or(0) + 1).ignore();
        let counted: Option<()> = transaction.query_async(&mut self.0).await?;
        Ok(counted.is_some())
    }

    async fn try_to_scan(&mut self, prefix: &str) -> Result<Vec<String>, RedisError> {
        let mut found = self.0.scan_match(format!("{prefix}*")).await?;
        let mut keys = Vec::new();
        while let Some(key) = found.next_item().await {
            keys.push(key?);
        }
        Ok(keys)
    }
}

async fn listen(server: Server, channel: &str, pattern: &str) -> Result<Listener, RedisError> {
    let (tell, heard) = mpsc::unbounded_channel();
    let client = client(server, 0)?;
    if server.resp3 {
        let send_push = move |push: PushInfo| {
            if matches!(push.kind, PushKind::Message | PushKind::PMessage) {
                let mut words = push.data.into_iter().rev().map(text);
                let message = words.next().and_then(Result::ok).unwrap_or_default();
                let channel = words.next().and_then(Result::ok).unwrap_or_default();
                let _ = tell.send((channel, message));
            }
            Ok::<(), SendError>(())
        };
        let config = AsyncConnectionConfig::new().set_push_sender(send_push);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        connection.subscribe(channel).await?;
        connection.psubscribe(pattern).await?;
        return Ok(Listener { heard, connection: Box::new(connection) });
    }
    let (mut sink, mut stream) = client.get_async_pubsub().await?.split();
    sink.subscribe(channel).await?;
    sink.psubscribe(pattern).await?;
    let forward = tokio::spawn(async move {
        while let Some(message) = stream.next().await {
            let text = message.get_payload().unwrap_or_default();
            let _ = tell.send((message.get_channel_name().to_owned(), text));
        }
    });
    Ok(Listener { heard, connection: Box::new((sink, AbortOnDrop(forward))) })
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn log_in(server: Server, user: &str, password: &str) -> Reply<Client> {
    let info = info(server, 0)?;
    let settings = info.redis_settings().clone().set_username(user).set_password(password);
    connect(redis::Client::open(info.set_redis_settings(settings))?).await.map(Client)
}

async fn connect(client: redis::Client) -> Reply<ConnectionManager> {
    // The default timeout of 500 ms is too short for a busy machine.
    let config = ConnectionManagerConfig::new().set_response_timeout(None);
    Ok(ConnectionManager::new_with_config(client, config).await?)
}

fn client(server: Server, database: i64) -> Result<redis::Client, RedisError> {
    redis::Client::open(info(server, database)?)
}

fn info(server: Server, database: i64) -> Result<ConnectionInfo, RedisError> {
    let protocol = if server.resp3 { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
    let info = ("127.0.0.1", server.port).into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(protocol).set_db(database);
    Ok(info.set_redis_settings(settings))
}

fn command(words: &Words) -> redis::Cmd {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(&word[..]);
    }
    command
}

fn text(value: Value) -> Result<String, RedisError> {
    Ok(from_redis_value(value)?)
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Denied,
            // With RESP3, the crate logs in by HELLO, whose error keeps its code.
            ErrorKind::AuthenticationFailed => Self::WrongPassword,
            _ if error.code() == Some("WRONGPASS") => Self::WrongPassword,
            ErrorKind::Server(_) | ErrorKind::Extension => Self::Answered(error.to_string()),
            _ => Self::Lost(error.to_string()),
        }
    }
}
