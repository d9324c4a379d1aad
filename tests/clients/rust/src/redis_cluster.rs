//! The cluster client of the `redis` crate, on a server that replies as a cluster of one node.

use redis::{
    AsyncCommands, ProtocolVersion, PushInfo, PushKind, RedisError, Value,
    aio::SendError,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    from_redis_value,
};
use tokio::sync::mpsc;

use crate::checks::{self, Server, Verdict};

const KEYS: usize = 200;

pub async fn run(server: Server) {
    println!("version {}", checks::version_of("redis"));
    let client = client(server).build().expect("the settings are valid");
    let mut connection = client.get_async_connection().await.expect("the server answers");
    checks::say("values", verdict(values(&mut connection).await));
    checks::say("pipeline", verdict(pipeline(&mut connection).await));
    checks::say("transactions", verdict(transaction(&mut connection).await));
    if server.is_redis {
        checks::say("scripts", verdict(script(&mut connection).await));
    }
    checks::say("errors", verdict(error(&mut connection).await));
    if server.resp3 {
        checks::say("channels", verdict(channel(server).await));
    }
}

fn client(server: Server) -> ClusterClientBuilder {
    let protocol = if server.resp3 { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
    ClusterClient::builder([format!("redis://127.0.0.1:{}", server.port)]).use_protocol(protocol)
}

type Checked = Result<bool, RedisError>;

fn verdict(checked: Checked) -> Verdict {
    match checked {
        Ok(true) => Ok(()),
        Ok(false) => Err("a reply is wrong".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Sets keys of all slots, and reads them one by one and at once.
async fn values(connection: &mut ClusterConnection) -> Checked {
    let keys: Vec<String> = (0..KEYS).map(|number| format!("key-{number}")).collect();
    for (number, key) in keys.iter().enumerate() {
        let () = connection.set(key, number).await?;
    }
    for (number, key) in keys.iter().enumerate() {
        if connection.get::<_, usize>(key).await? != number {
            return Ok(false);
        }
    }
    // The client splits the command by slots.
    let all: Vec<usize> = connection.mget(&keys).await?;
    let size: usize = redis::cmd("DBSIZE").query_async(connection).await?;
    Ok(all == (0..KEYS).collect::<Vec<_>>() && size == KEYS)
}

/// The client refuses a pipeline with keys of several slots.
async fn pipeline(connection: &mut ClusterConnection) -> Checked {
    let mut pipeline = redis::pipe();
    for number in 0..KEYS {
        let key = format!("{{pipeline}}:{number}");
        pipeline.set(&key, number).ignore().incr(&key, 1);
    }
    let replies: Vec<usize> = pipeline.query_async(connection).await?;
    Ok(replies == (1..=KEYS).collect::<Vec<_>>())
}

async fn transaction(connection: &mut ClusterConnection) -> Checked {
    let mut transaction = redis::pipe();
    transaction.atomic().set("{user}:a", 1).incr("{user}:a", 1).get("{user}:a");
    let replies: (String, i64, String) = transaction.query_async(connection).await?;
    Ok(replies == ("OK".to_owned(), 2, "2".to_owned()))
}

/// Runs a script, which the client sends by its hash first.
async fn script(connection: &mut ClusterConnection) -> Checked {
    let script = redis::Script::new("redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])");
    let reply: String = script.key("by-script").arg("text").invoke_async(connection).await?;
    Ok(reply == "text")
}

async fn error(connection: &mut ClusterConnection) -> Checked {
    let () = connection.set("text", "x").await?;
    let error = connection.incr::<_, _, i64>("text", 1).await;
    Ok(error.is_err_and(|error| error.to_string().contains("not an integer")))
}

/// Receives a message as a push.
async fn channel(server: Server) -> Checked {
    let (tell, mut heard) = mpsc::unbounded_channel();
    let send_push = move |push: PushInfo| {
        if push.kind == PushKind::Message {
            let _ = tell.send(push.data);
        }
        Ok::<(), SendError>(())
    };
    let client = client(server).push_sender(send_push).build()?;
    let mut connection = client.get_async_connection().await?;
    connection.subscribe("news").await?;
    let () = connection.publish("news", "hello").await?;
    let data: Vec<Value> = heard.recv().await.unwrap_or_default();
    let words = data.into_iter().map(from_redis_value::<String>).collect::<Result<Vec<_>, _>>()?;
    Ok(words == ["news", "hello"])
}
