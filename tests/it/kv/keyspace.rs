use crate::support::{Process, RawClient, eventually, lines, report};

/// Sends requests one by one. Returns `INFO keyspace` without `avg_ttl`.
fn keyspace_after(client: &mut RawClient, pipeline: &str) -> String {
    for request in pipeline.split(" \n ") {
        client.send(lines(request));
        client.reply();
    }
    let text = report(client, "INFO keyspace");
    // Redis estimates `avg_ttl` from samples.
    text.lines().map(|line| line.split(",avg_ttl=").next().unwrap_or_default().to_owned() + "\n").collect()
}

#[test]
fn keys_are_counted_as_in_redis() {
    let (kv, redis) = (Process::program("kv"), Process::redis(&[]));
    let [mut kv, mut redis] = [kv.address(), redis.address()].map(RawClient::connect);
    for (pipeline, expected) in [
        ("PING", ""),
        ("MSET a 1 b 2 \n SET c 3 EX 1000", "db0:keys=3,expires=1\n"),
        ("SET c 4 \n SET a 2", "db0:keys=3,expires=0\n"),
        ("EXPIRE a 1000 \n EXPIRE b 1000 \n PERSIST b", "db0:keys=3,expires=1\n"),
        ("APPEND d x \n GETEX d EX 1000 \n INCR n \n RENAME n m", "db0:keys=5,expires=2\n"),
        (
            "SELECT 3 \n SET x 1 \n SELECT 0 \n COPY a y DB 9",
            "db0:keys=5,expires=2\ndb3:keys=1,expires=0\ndb9:keys=1,expires=1\n",
        ),
        ("DEL a b \n EXPIRE d -1", "db0:keys=2,expires=0\ndb3:keys=1,expires=0\ndb9:keys=1,expires=1\n"),
        ("FLUSHDB \n SET new 1", "db0:keys=1,expires=0\ndb3:keys=1,expires=0\ndb9:keys=1,expires=1\n"),
        ("FLUSHALL", ""),
        ("FLUSHALL ASYNC \n SET new 1 PX 100000", "db0:keys=1,expires=1\n"),
    ] {
        let expected = format!("# Keyspace\n{expected}");
        assert_eq!(keyspace_after(&mut redis, pipeline), expected, "redis-server: {pipeline}");
        assert_eq!(keyspace_after(&mut kv, pipeline), expected, "{pipeline}");
    }
    assert!(report(&mut kv, "INFO").ends_with("# Keyspace\r\ndb0:keys=1,expires=1,avg_ttl=0\r\n"));
    // Expired keys are removed even if no client accesses them.
    let expired = "SET new 1 PX 1";
    keyspace_after(&mut kv, expired);
    eventually(|| (keyspace_after(&mut kv, "PING") == "# Keyspace\n").then_some(()));
}
