//! All integration tests, in one binary.

/// The example `balancer`: several servers, and a cluster, behind one address.
mod balancer;
/// What the toolkit answers itself, compared with a real redis-server.
mod builtins;
/// The example `chat`.
mod chat;
/// The example `collector`.
mod collector;
/// Handlers that panic and actors that stop: the others go on.
mod containment;
/// Byte sequences that `kv` and a real redis-server answer alike.
mod differential;
/// From a name to who answers it: actors, built-in commands, the fallback.
mod dispatch;
/// Arrays that are written as their client takes them.
mod elements;
/// Replies that wait until what they say holds.
mod group_commit;
/// What brought other servers down, and clients that ask for too much.
mod hostile;
/// Generated code in scopes that shadow what it might have relied on.
mod hygiene;
/// The example `jobs`.
mod jobs;
/// The example `kv`, where there is nothing to compare with.
mod kv;
/// The example `kv-disk`: what is there when it is started again.
mod kv_disk;
/// Replies that come later, pushes, and clients that come and leave.
mod later;
/// How a server ends.
mod lifecycle;
/// The settings of a server, and clients that are slow to read or to write.
mod limits;
/// Where a server can listen.
mod listeners;
/// What `#[commands]` and `#[derive(Args)]` make of a signature.
mod macros;
/// What operators see of a running server, and how they steer it.
mod operators;
/// Replies leave in the order of the requests, whoever answers them.
mod order;
/// Passwords that stay out of the process list.
mod passwords;
/// Actors that share an address, each in a thread of its own.
mod pool;
/// What holds for any request and any reply.
mod properties;
/// Channels, and who listens to them.
mod pubsub;
/// The README: its programs, its list of commands and the links of all texts.
mod readme;
/// The example `readthrough`, with SQLite and with a PostgreSQL server.
mod readthrough;
/// The kit for testing applications.
mod test_kit;
/// The example `timers`.
mod timers;
/// TLS, with clients and with upstreams: against real ones.
mod tls;
/// `CLIENT TRACKING` where actors take part.
mod tracking;
/// `MULTI` and `WATCH` where actors take part.
mod transactions;
/// Every parameter type and every return type, over the wire.
mod types;
/// Requests that are sent on to another server.
mod upstream;
/// Large values, and many clients.
mod values;
/// Requests in pieces of any size.
mod wire;

/// Servers, processes, and a client that speaks bytes.
mod support;
