use fred::{
    cmd,
    prelude::{
        ClientLike, Config, Error, ErrorKind, EventInterface, KeysInterface, PubsubInterface, ReconnectPolicy,
        TransactionInterface,
    },
    types::{RespVersion, Value, config::ServerConfig},
};

use tokio::{sync::mpsc, task::JoinHandle};

use crate::checks::{self, Failure, Listener, Reply, Server, Words};

/// The `fred` crate.
pub struct Client(fred::clients::Client);

impl checks::Client for Client {
    const NAME: &'static str = "fred";

    async fn connect(server: Server) -> Reply<Self> {
        connect(server, None).await
    }

    /// The crate has no option for the name, so the program sends the command.
    async fn connect_tester(server: Server) -> Reply<Self> {
        let mut client = connect(server, Some(3)).await?;
        client.call(["CLIENT", "SETNAME", "tester"].map(Into::into).into()).await?;
        Ok(client)
    }

    async fn set(&mut self, key: &[u8], value: &[u8]) -> Reply<()> {
        Ok(self.0.set(key, value, None, None, false).await?)
    }

    async fn get(&mut self, key: &[u8]) -> Reply<Option<Vec<u8>>> {
        let value: Value = self.0.get(key).await?;
        Ok(value.into_bytes().map(Into::into))
    }

    async fn call(&mut self, words: Words) -> Reply<String> {
        Ok(custom(&self.0, &words).await?)
    }

    async fn pipeline(&mut self, commands: Vec<Words>) -> Vec<Reply<String>> {
        let pipeline = self.0.pipeline();
        for words in &commands {
            if let Err(error) = custom::<Value>(&pipeline, words).await {
                return vec![Err(error.into())];
            }
        }
        pipeline.try_all().await.into_iter().map(|reply| Ok(reply?)).collect()
    }

    async fn transaction(&mut self, commands: Vec<Words>) -> Option<Reply<Vec<String>>> {
        let transaction = self.0.multi();
        for words in &commands {
            if let Err(error) = custom::<Value>(&transaction, words).await {
                return Some(Err(error.into()));
            }
        }
        Some(transaction.exec(true).await.map_err(Into::into))
    }

    async fn listen(server: Server, channel: &str, pattern: &str) -> Option<Reply<Listener>> {
        Some(listen(server, channel, pattern).await)
    }
}

async fn listen(server: Server, channel: &str, pattern: &str) -> Reply<Listener> {
    let Client(client) = connect(server, None).await?;
    let (tell, heard) = mpsc::unbounded_channel();
    let listening = client.on_message(move |message| {
        let _ = tell.send((message.channel.to_string(), message.value.as_string().unwrap_or_default()));
        std::future::ready(Ok(()))
    });
    client.subscribe(channel).await?;
    client.psubscribe(pattern).await?;
    Ok(Listener { heard, connection: Box::new(Ends { client, listening }) })
}

/// A client that reconnects until it is told to quit.
struct Ends {
    client: fred::clients::Client,
    listening: JoinHandle<Result<(), Error>>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.listening.abort();
        let client = self.client.clone();
        tokio::spawn(async move { client.quit().await });
    }
}

async fn connect(server: Server, database: Option<u8>) -> Reply<Client> {
    let config = Config {
        server: ServerConfig::new_centralized("127.0.0.1", server.port),
        version: if server.resp3 { RespVersion::RESP3 } else { RespVersion::RESP2 },
        database,
        ..Config::default()
    };
    let policy = ReconnectPolicy::new_constant(0, 100);
    let client = fred::clients::Client::new(config, None, None, Some(policy));
    client.init().await?;
    Ok(Client(client))
}

async fn custom<R: fred::types::FromValue>(client: &impl ClientLike, words: &Words) -> Result<R, Error> {
    let name = String::from_utf8_lossy(&words[0]).into_owned();
    client.custom(cmd!(name), words[1..].to_vec()).await
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::IO | ErrorKind::Canceled | ErrorKind::Timeout => Self::Lost(error.to_string()),
            _ => Self::Answered(error.to_string()),
        }
    }
}
