use rustis::{
    Error, ErrorKind,
    client::{Config, ServerConfig},
    commands::StringCommands,
    resp::{Command, Value, cmd},
};

use crate::checks::{self, Failure, Reply, Server, Words};

/// The `rustis` crate, which speaks RESP3 alone.
pub struct Client(rustis::client::Client);

impl checks::Client for Client {
    const NAME: &'static str = "rustis";
    const PIPELINE_FAILS_AS_A_WHOLE: bool = true;

    async fn connect(server: Server) -> Reply<Self> {
        connect(server, Config::default()).await
    }

    async fn connect_tester(server: Server) -> Reply<Self> {
        let mut config = Config::default();
        config.connection_name = "tester".to_owned();
        config.database = 3;
        connect(server, config).await
    }

    async fn set(&mut self, key: &[u8], value: &[u8]) -> Reply<()> {
        Ok(self.0.set(bytes(key), bytes(value)).await?)
    }

    async fn get(&mut self, key: &[u8]) -> Reply<Option<Vec<u8>>> {
        match self.0.get::<Value>(bytes(key)).await? {
            Value::BulkString(value) => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    async fn call(&mut self, words: Words) -> Reply<String> {
        Ok(self.0.send(command(&words), None).await?)
    }

    async fn pipeline(&mut self, commands: Vec<Words>) -> Vec<Reply<String>> {
        let mut pipeline = self.0.create_pipeline();
        for words in &commands {
            pipeline.queue_command(command(words));
        }
        match pipeline.execute::<Vec<Value>>().await {
            Ok(replies) => replies.into_iter().map(text).collect(),
            Err(error) => vec![Err(error.into())],
        }
    }
}

async fn connect(server: Server, mut config: Config) -> Reply<Client> {
    config.server = ServerConfig::Standalone { host: "127.0.0.1".to_owned(), port: server.port };
    Ok(Client(rustis::client::Client::connect(config).await?))
}

fn bytes(value: &[u8]) -> &serde_bytes::Bytes {
    serde_bytes::Bytes::new(value)
}

/// rustis requires command names of static lifetime.
fn command(words: &Words) -> Command {
    let name: &'static str = match &words[0][..] {
        b"CLIENT" => "CLIENT",
        b"GET" => "GET",
        b"SET" => "SET",
        b"INCR" => "INCR",
        _ => "NOPE",
    };
    words[1..].iter().fold(cmd(name), |command, word| command.arg(bytes(word))).into()
}

fn text(value: Value) -> Reply<String> {
    match value {
        Value::SimpleString(text) => Ok(text),
        Value::BulkString(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Value::Error(error) => Err(Failure::Answered(error.to_string())),
        other => Ok(format!("{other:?}")),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Redis(error) => Self::Answered(error.to_string()),
            _ => Self::Lost(error.to_string()),
        }
    }
}
