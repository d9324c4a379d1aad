//! The line that describes a client in `CLIENT LIST`, `CLIENT INFO` and `ACL LOG`.

use std::fmt::Write;

use crate::{
    Address, Client,
    client::{ClientFlag, CloseRequest},
    keyspace::{Tracked, TrackingMode},
    server_state::ServerState,
};

/// Memory of an idle connection, in bytes: see DESIGN.md.
const IDLE_MEMORY: usize = 1200;

/// Returns a line of `CLIENT LIST`, with the fields of Redis 7.2.
pub(crate) fn client_line(client: &Client, server: &ServerState) -> String {
    let now = server.now();
    let (input, output, pushed) = (client.input(), client.output(), client.pushed_len());
    let command =
        client.last_command().map_or_else(|| "NULL".to_owned(), |id| server.routes.command(id).full_name());
    let [channels, patterns, shards] = client.subscribed();
    let queued = client.queued();
    let tracked = server.keyspace.tracked(client);
    let mut line = format!(
        "id={} addr={} laddr={} fd={} name={} ",
        client.id(),
        client.addr().listed(),
        client.local_addr().listed(),
        client.descriptor(),
        client.name().unwrap_or_default(),
    );
    // Writing to a string never fails.
    let _ = writeln!(
        line,
        "age={} idle={} flags={} db={} sub={channels} psub={patterns} ssub={shards} multi={} watch={} qbuf={input} qbuf-free=0 argv-mem=0 multi-mem={} \
         rbs=0 rbp=0 obl={output} oll=0 omem={pushed} tot-mem={} events={} cmd={command} user={} redir={} resp={} \
         lib-name={} lib-ver={}",
        client.age(now),
        client.idle(now),
        flags(client, &tracked),
        client.db(),
        queued.map_or(-1, |(requests, _)| i64::from(requests)),
        client.watched_keys(),
        queued.map_or(0, |(_, memory)| memory),
        IDLE_MEMORY + client.memory(),
        if output > 0 { "rw" } else { "r" },
        client.user(),
        tracked.redirect.as_i64(),
        client.protocol().version(),
        client.lib_name().unwrap_or_default(),
        client.lib_ver().unwrap_or_default(),
    );
    line
}

fn flags(client: &Client, tracked: &Tracked) -> String {
    let flags = [
        ('O', client.is(ClientFlag::Monitor)),
        ('P', client.is_subscriber()),
        ('x', client.queued().is_some()),
        ('b', client.is_blocked()),
        ('t', tracked.is_on()),
        ('R', tracked.is_broken),
        ('B', tracked.mode == TrackingMode::Broadcast),
        ('d', client.is(ClientFlag::Dirty)),
        ('A', client.close_request() == CloseRequest::Now),
        ('U', matches!(client.addr(), Address::Unix(_))),
        ('e', client.is(ClientFlag::NoEvict)),
        ('T', client.is(ClientFlag::NoTouch)),
    ];
    let set: String = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).collect();
    if set.is_empty() { "N".to_owned() } else { set }
}
