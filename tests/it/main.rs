//! All integration tests, in one binary.

/// Users and their rules, compared with a real redis-server.
mod acl;
/// The app `balancer`: several servers or a cluster behind one address.
mod balancer;
/// Built-in commands, compared with a real redis-server.
mod builtins;
/// The example `chat`.
mod chat;
/// Typed clients that `#[commands(client)]` generates, and their connection.
mod client;
/// Instances that answer as a cluster, and the server as a cluster of one node.
mod cluster;
/// The app `collector`.
mod collector;
/// Handlers that panic do not affect the other clients and actors.
mod containment;
/// Byte sequences to which `kv` and a real redis-server send the same replies.
mod differential;
/// Dispatch of a command name to an actor, a built-in command or the fallback.
mod dispatch;
/// Streaming replies: arrays that the server generates while the client reads.
mod elements;
mod errors;
mod expiry;
/// Generic actors, generic plugins, and boxed traits in the state of an actor.
mod generics;
/// Group commit: replies wait until the data that they acknowledge is on disk.
mod group_commit;
/// Bugs that crashed other servers, and clients that use too many resources.
mod hostile;
/// Macro output in scopes that shadow the names of the prelude.
mod hygiene;
/// The app `jobs`.
mod jobs;
/// Commands that say which keys they change.
mod key_events;
/// The app `kv`, where redis-server offers no comparison.
mod kv;
/// The app `kv-disk`: its data survives restarts, kills and full disks.
mod kv_disk;
/// Replies from a responder, pushes, and clients that connect and disconnect.
mod later;
/// Instances that take over from each other, with an agreement in etcd or PostgreSQL.
mod leases;
/// How a server stops.
mod lifecycle;
/// Limits and timeouts of a server, and clients that read or write slowly.
mod limits;
/// The addresses on which a server can listen.
mod listeners;
/// Logins: guessing, and identities that an actor of the application knows.
mod logins;
/// The command rows that `#[commands]` and `#[derive(Args)]` derive from a signature.
mod macros;
/// Applications that are made of applications.
mod merge;
/// Middleware around commands.
mod middleware;
/// Mistakes with the attributes, and the compile errors that they cause.
mod mistakes;
/// Commands with which operators observe and control a running server.
mod operators;
/// Replies keep the order of the requests, whichever actor sends them.
mod order;
/// Pushes that a client's own commands cause, among the replies.
mod own_pushes;
/// The published packages, and the licenses and versions of all dependencies.
mod packages;
/// Passwords that do not appear in the process list.
mod passwords;
/// Pools: several copies of an actor behind one address, each on its own thread.
mod pool;
mod prefetch;
/// Properties of all requests and all replies, tested with random input.
mod properties;
/// The proxy: requests that it sends on to upstreams.
mod proxy;
/// Channels and their subscribers.
mod pubsub;
/// The README: its programs, its list of commands, and the links in all Markdown files.
mod readme;
/// The app `readthrough`, with SQLite and with a PostgreSQL server.
mod readthrough;
/// Command pages and Python clients, from rows.
mod reference;
/// A server as a replica, compared with a real redis-server.
mod role;
/// Passwords in logs, lists and `Debug` output.
mod secrets;
/// The facade that answers as a Redis Sentinel, compared with a real one.
mod sentinel;
/// Actors divided among shards by key.
mod shards;
/// Actors that end, and supervised actors that are started again.
mod supervision;
/// The template of a service.
mod template;
/// Users with keys and channels of their own.
mod tenants;
/// The kit for testing applications.
mod test_kit;
/// The example `timers`.
mod timers;
/// TLS to clients and to upstreams, tested with redis-cli and redis-server.
mod tls;
/// `CLIENT TRACKING` of keys that actors own.
mod tracking;
/// `MULTI` and `WATCH` with commands of actors.
mod transactions;
/// Every parameter type and every return type, over a socket.
mod types;
/// Large values and many clients.
mod values;
/// Times, parsed texts, JSON, characters and small numbers, as parameters and replies.
mod values_as_text;
/// Requests that arrive in pieces of any size.
mod wire;
/// Connections that several threads serve.
mod workers;

/// Servers, processes, and a client that sends and receives raw bytes.
mod support;
