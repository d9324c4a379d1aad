//! The commands, on a server in memory.

use thegiant::{prelude::*, test::TestServer};

use {{crate_name}}::app;

#[thegiant::test]
async fn counts_by_one_unless_an_increment_is_given() {
    let server = TestServer::start(app());
    let mut client = server.connect();
    assert_eq!(client.call(["VALUE", "visits"]).await, Value::Null);
    assert_eq!(client.call(["COUNT", "visits"]).await, Value::Integer(1));
    assert_eq!(
        client.call(["COUNT", "visits", "10"]).await,
        Value::Integer(11)
    );
    assert_eq!(client.call(["VALUE", "visits"]).await, Value::Integer(11));
}

#[thegiant::test]
async fn an_overflow_is_an_error_and_changes_nothing() {
    let server = TestServer::start(app());
    let mut client = server.connect();
    assert_eq!(
        client
            .call(["COUNT", "visits", "9223372036854775807"])
            .await,
        Value::Integer(i64::MAX)
    );
    let error = Error::err("the counter would overflow");
    assert_eq!(client.call(["COUNT", "visits"]).await, Value::Error(error));
    assert_eq!(
        client.call(["VALUE", "visits"]).await,
        Value::Integer(i64::MAX)
    );
}
