use fred::{
    cmd,
    prelude::{ClientLike, Config, Error, ErrorKind, KeysInterface, ReconnectPolicy},
    types::{RespVersion, Value, config::ServerConfig},
};

use crate::checks::{self, Failure, Reply, Server, Words};

/// The `fred` crate.
pub struct Client(fred::clients::Client);

impl checks::Client for Client {
    const NAME: &'static str = "fred";

    async fn connect(server: Server) -> Reply<Self> {
        connect(server, None).await
    }

    /// It has no option for the name; a program sends the command.
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
