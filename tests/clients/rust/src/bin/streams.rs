//! Checks that the stream methods of redis-rs work as with Redis: `streams PORT`.

use std::env;

use redis::{
    Commands, RedisResult,
    streams::{
        StreamAutoClaimOptions, StreamAutoClaimReply, StreamClaimReply, StreamId, StreamInfoGroupsReply,
        StreamInfoStreamReply, StreamMaxlen, StreamPendingCountReply, StreamPendingReply, StreamRangeReply,
        StreamReadOptions, StreamReadReply,
    },
};

fn main() -> RedisResult<()> {
    let port = env::args().nth(1).expect("a port");
    let mut client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?.get_connection()?;
    events(&mut client)?;
    groups(&mut client)?;
    println!("the methods of redis-rs: ok");
    Ok(())
}

fn text(event: &StreamId, field: &str) -> String {
    event.get(field).expect("the event has the field")
}

fn events(client: &mut redis::Connection) -> RedisResult<()> {
    let id: String = client.xadd("s", "1-1", &[("n", "1")])?;
    assert_eq!(id, "1-1");
    let id: String = client.xadd_maxlen("s", StreamMaxlen::Equals(10), "*", &[("n", "2"), ("text", "é")])?;
    assert_eq!(client.xlen::<_, usize>("s")?, 2);
    let range: StreamRangeReply = client.xrange_all("s")?;
    assert_eq!(range.ids.iter().map(|event| text(event, "n")).collect::<Vec<_>>(), ["1", "2"]);
    let range: StreamRangeReply = client.xrevrange_count("s", "+", "-", 1)?;
    assert_eq!((range.ids[0].id.as_str(), text(&range.ids[0], "text")), (id.as_str(), "é".to_owned()));
    let read: StreamReadReply = client.xread(&["s"], &["1-1"])?;
    assert_eq!((read.keys[0].key.as_str(), read.keys[0].ids.len()), ("s", 1));
    let options = StreamReadOptions::default().block(20).count(5);
    let read: Option<StreamReadReply> = client.xread_options(&["s"], &["$"], &options)?;
    assert!(read.is_none_or(|read| read.keys.is_empty()));
    assert_eq!(client.xdel::<_, _, usize>("s", &["1-1"])?, 1);
    let about: StreamInfoStreamReply = client.xinfo_stream("s")?;
    assert_eq!((about.length, about.last_generated_id), (1, id));
    assert_eq!(client.xtrim::<_, usize>("s", StreamMaxlen::Equals(0))?, 1);
    let again: RedisResult<String> = client.xadd("s", "1-1", &[("n", "1")]);
    assert!(again.is_err_and(|error| error.to_string().contains("equal or smaller")));
    Ok(())
}

fn groups(client: &mut redis::Connection) -> RedisResult<()> {
    client.xgroup_create_mkstream::<_, _, _, ()>("work", "g", "0")?;
    let ids: Vec<String> = (0..3).map(|n| client.xadd("work", "*", &[("n", n)])).collect::<RedisResult<_>>()?;
    let options = StreamReadOptions::default().group("g", "one").count(2);
    let read: StreamReadReply = client.xread_options(&["work"], &[">"], &options)?;
    assert_eq!(read.keys[0].ids.len(), 2);
    assert_eq!(client.xack::<_, _, _, usize>("work", "g", &[&ids[0]])?, 1);
    let StreamPendingReply::Data(pending) = client.xpending("work", "g")? else { panic!("one is pending") };
    assert_eq!((pending.count, pending.start_id), (1, ids[1].clone()));
    let pending: StreamPendingCountReply = client.xpending_count("work", "g", "-", "+", 10)?;
    assert_eq!((pending.ids[0].consumer.as_str(), pending.ids[0].times_delivered), ("one", 1));
    let claimed: StreamClaimReply = client.xclaim("work", "g", "two", 0, &[&ids[1]])?;
    assert_eq!(claimed.ids[0].id, ids[1]);
    let claimed: StreamAutoClaimReply =
        client.xautoclaim_options("work", "g", "three", 0, "0", StreamAutoClaimOptions::default())?;
    assert_eq!(claimed.claimed[0].id, ids[1]);
    let about: StreamInfoGroupsReply = client.xinfo_groups("work")?;
    assert_eq!((about.groups[0].consumers, about.groups[0].pending, about.groups[0].lag), (3, 1, Some(1)));
    assert_eq!(client.xgroup_delconsumer::<_, _, _, usize>("work", "g", "three")?, 1);
    assert!(client.xgroup_destroy::<_, _, bool>("work", "g")?);
    assert_eq!(client.del::<_, usize>(&["s", "work"])?, 2);
    Ok(())
}
