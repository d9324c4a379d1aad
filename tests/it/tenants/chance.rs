use proptest::{collection::vec, prelude::*, sample::select};

use super::{log_in, start};
use crate::support::{RawClient, Reply, line};

/// The tenants, each with a mark that only its own keys, values and messages have.
const TENANTS: [(&str, &str); 2] = [("alice", "<A>"), ("bob", "<B>")];

/// Requests of a tenant: `1` and `2` stand for keys, and `%` for the mark of the tenant.
const REQUESTS: &[&str] = &[
    "SET 1 %x",
    "SET 1 %y GET",
    "GET 1",
    "GETDEL 1",
    "APPEND 1 %",
    "DEL 1 2",
    "MSET 1 %m 2 %n",
    "MGET 1 2 nothing",
    "EXISTS 1 2",
    "RENAME 1 2",
    "COPY 1 2 REPLACE",
    "PEXPIRE 1 0",
    "KEYS *",
    "KEYS ?",
    "SCAN 0 COUNT 999",
    "SCAN 0 MATCH *%* COUNT 999",
    "RANDOMKEY",
    "DBSIZE",
    "FLUSHDB",
    "WATCH 1",
    "MULTI",
    "EXEC",
    "DISCARD",
    "CLIENT TRACKING ON",
    "CLIENT TRACKING ON BCAST",
    "CLIENT TRACKING ON BCAST PREFIX 1",
    "CLIENT TRACKING OFF",
    "CLIENT TRACKINGINFO",
    "SUBSCRIBE c %c __keyspace@0__:1 __keyevent@0__:set",
    "PSUBSCRIBE * __key*__:*",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE *",
    "PUBLISH c %message",
    "PUBLISH %c %message",
    "PUBSUB CHANNELS",
    "CLIENT LIST",
    "MONITOR",
    "SLOWLOG GET",
    "COMMAND GETKEYS MGET 1 2",
    "OBJECT ENCODING 1",
    "INFO everything",
];

/// The requests that one of the connections sends in one write.
#[derive(Clone, Debug)]
struct Step {
    tenant: usize,
    /// The last connection is that of a client that becomes one tenant and the other.
    connection: usize,
    requests: Vec<String>,
}

/// The number of connections that each tenant has.
const OWN: usize = 2;

fn step() -> impl Strategy<Value = Step> {
    let key = || select(vec!["k", "l", "k%", "%"]);
    let request = (select(REQUESTS), key(), key())
        .prop_map(|(request, one, other)| request.replace('1', one).replace('2', other));
    (0..TENANTS.len(), 0..=OWN, vec(request, 1..8)).prop_map(|(tenant, connection, requests)| {
        let requests = requests.into_iter().map(|request| request.replace('%', TENANTS[tenant].1)).collect();
        Step { tenant, connection, requests }
    })
}

/// The output of the connections, and what the tenants have in the end.
struct Outcome {
    /// The output of the connections of each tenant.
    own: [Vec<u8>; 2],
    /// The output of the client that changes its tenant: the tenant, and the bytes behind its login.
    changing: Vec<(usize, Vec<u8>)>,
    /// The keys and values of each tenant, in order.
    data: [Vec<(Vec<u8>, Vec<u8>)>; 2],
}

/// Lets the tenants send their requests, or one of them.
fn run(steps: &[Step], options: &[&str], only: Option<usize>) -> Outcome {
    let kv = start(options);
    let mut operator = RawClient::connect(kv.address());
    operator.ask(line("CONFIG SET notify-keyspace-events KEA"));
    let connect = |user: &str| {
        let mut client = log_in(kv.address(), user);
        client.ask(line("HELLO 3"));
        client
    };
    let mut own = TENANTS.map(|(user, _)| [connect(user), connect(user)]);
    let mut changing = connect(TENANTS[0].0);
    for Step { tenant, connection, requests } in steps {
        let (user, _) = TENANTS[*tenant];
        let requests = requests.iter().filter(|_| only.is_none_or(|only| only == *tenant));
        let requests: Vec<u8> = requests.flat_map(|request| line(request)).collect();
        match own[*tenant].get_mut(*connection) {
            Some(client) => client.send(requests),
            None => {
                let login = ["DISCARD", &format!("AUTH {user} x"), &format!("ECHO <<{user}>>")].map(line);
                changing.send([login.concat(), requests].concat());
            }
        }
        operator.let_server_read();
    }
    let rest = |client: &mut RawClient| {
        client.half_close();
        client.rest().to_vec()
    };
    let own = own.map(|[mut one, mut other]| [rest(&mut one), rest(&mut other)].concat());
    let changing = rest(&mut changing);
    let data = TENANTS.map(|(user, _)| data(&mut log_in(kv.address(), user)));
    Outcome { own, changing: by_login(&changing), data }
}

/// Splits output at the logins.
fn by_login(output: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let text = String::from_utf8_lossy(output).into_owned();
    let pieces = text.split("<<").skip(1);
    let of_login = pieces.map(|piece| {
        let (user, output) = piece.split_once(">>").expect("the end of a login");
        let tenant = TENANTS.iter().position(|(known, _)| *known == user).expect("a tenant");
        (tenant, output.as_bytes().to_vec())
    });
    of_login.collect()
}

/// Returns the keys and values of a tenant, in order.
fn data(client: &mut RawClient) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some(Reply::Array(keys)) = Reply::only(&client.ask(line("KEYS *"))) else { panic!("no keys") };
    let mut data: Vec<_> = keys
        .into_iter()
        .map(|key| {
            let Reply::Bulk(key) = key else { panic!("{key:?} is no key") };
            let value = client.ask(line(&format!("GET {}", String::from_utf8_lossy(&key))));
            (key, value.to_vec())
        })
        .collect();
    data.sort();
    data
}

fn contains(output: &[u8], word: &str) -> bool {
    output.windows(word.len()).any(|part| part == word.as_bytes())
}

/// Asserts that the output of a tenant shows neither another tenant nor a prefix.
fn assert_apart(tenant: usize, output: &[u8]) {
    let (_, mark) = TENANTS[1 - tenant];
    let prefixes = TENANTS.map(|(user, _)| format!("{user}:"));
    for word in [mark, &prefixes[0], &prefixes[1]] {
        assert!(!contains(output, word), "{word} in {}", String::from_utf8_lossy(output));
    }
}

fn assert_tenants_are_apart(steps: &[Step], options: &[&str]) -> Outcome {
    let outcome = run(steps, options, None);
    for (tenant, output) in outcome.own.iter().enumerate() {
        assert_apart(tenant, output);
    }
    for (tenant, output) in &outcome.changing {
        assert_apart(*tenant, output);
    }
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Each tenant ends with the data that it has without the other.
    #[test]
    fn tenants_do_not_notice_each_other(steps in vec(step(), 1..80)) {
        let together = assert_tenants_are_apart(&steps, &[]);
        for tenant in 0..TENANTS.len() {
            let alone = run(&steps, &[], Some(tenant));
            prop_assert_eq!(&together.data[tenant], &alone.data[tenant]);
        }
    }

    #[test]
    fn tenants_of_two_shards_do_not_see_each_other(steps in vec(step(), 1..80)) {
        assert_tenants_are_apart(&steps, &["--threads", "2"]);
    }
}
