//! `INFO`: reports the state of the server as lines of `field:value`.

use std::{process, sync::atomic::Ordering::Relaxed};

use hdrhistogram::Histogram;

use super::{
    REDIS_VERSION, Report,
    process::{CpuUsage, MemoryUsage},
};
use crate::{
    Address, InfoFields, Role,
    client::Client,
    command::Spec,
    commands,
    conn::ConnectionState,
    dispatch::GroupCommitStats,
    info::InfoSection,
    observe::{CommandCounts, LocalCounter, unix_time},
    pubsub::ChannelKind,
    server_state::ServerState,
    settings::Setting,
};

#[commands(rows = INFO, group = "server")]
impl ConnectionState {
    /// Returns information and statistics about the server.
    #[command("INFO", loading, stale, tenant_safe, categories("dangerous"))]
    fn info(&self, section: Option<Vec<&[u8]>>) -> Report {
        let server = &self.server;
        let requested = RequestedSections(section.unwrap_or_default());
        let own = SECTIONS.iter().map(|(name, detail, fields)| (*name, *detail, Some(*fields)));
        let is_own = |name: &str| SECTIONS.iter().any(|(own, ..)| own.eq_ignore_ascii_case(name));
        let mut added: Vec<&str> = Vec::new();
        // The sections of the application are about the keys of all users.
        let of_application = if self.key_prefix.is_empty() { &server.info[..] } else { &[] };
        for InfoSection { name, .. } in of_application {
            if !is_own(name) && !added.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                added.push(name);
            }
        }
        let added = added.into_iter().map(|name| (name, Detail::Default, None));
        let shown = own.chain(added).filter(|(name, detail, _)| requested.include(name, *detail));
        let texts = shown
            .map(|(name, _, fields)| format!("# {name}\r\n{}", text(name, fields, server, of_application)));
        Report(texts.collect::<Vec<_>>().join("\r\n"))
    }
}

/// When `INFO` shows a section that the client did not request by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// Always.
    Default,
    /// With `INFO all` and `INFO everything`.
    All,
}

type WriteFields = fn(&ServerState, &mut InfoFields);

/// The sections of the toolkit, with the names and in the order of Redis.
const SECTIONS: [(&str, Detail, WriteFields); 13] = [
    ("Server", Detail::Default, server),
    ("Clients", Detail::Default, clients),
    ("Memory", Detail::Default, memory),
    ("Persistence", Detail::Default, persistence),
    ("Stats", Detail::Default, stats),
    ("Replication", Detail::Default, replication),
    ("CPU", Detail::Default, cpu),
    ("Modules", Detail::Default, |_, _| {}),
    ("Commandstats", Detail::All, commandstats),
    ("Errorstats", Detail::Default, errorstats),
    ("Latencystats", Detail::All, latencystats),
    ("Cluster", Detail::Default, cluster),
    ("Keyspace", Detail::Default, |_, _| {}),
];

/// The section names of an `INFO` request. An empty list selects the default sections.
struct RequestedSections<'a>(Vec<&'a [u8]>);

impl RequestedSections<'_> {
    fn include(&self, name: &str, detail: Detail) -> bool {
        let has = |name: &str| self.0.iter().any(|given| given.eq_ignore_ascii_case(name.as_bytes()));
        let is_default = detail == Detail::Default && (self.0.is_empty() || has("default"));
        is_default || has(name) || has("all") || has("everything")
    }
}

/// Returns the lines of a section: first the toolkit's, then the application's.
fn text(
    name: &str,
    fields: Option<WriteFields>,
    server: &ServerState,
    of_application: &[InfoSection],
) -> String {
    let mut lines = InfoFields::default();
    if let Some(fields) = fields {
        fields(server, &mut lines);
    }
    let added = of_application.iter().filter(|section| section.name.eq_ignore_ascii_case(name));
    added.for_each(|section| section.add_to(&mut lines));
    lines.into_text()
}

/// Writes the section `Server`.
fn server(server: &ServerState, info: &mut InfoFields) {
    let uptime = server.uptime().as_secs();
    info.field("redis_version", REDIS_VERSION);
    info.field("redis_mode", server.mode());
    info.field("os", std::env::consts::OS);
    info.field("arch_bits", usize::BITS);
    info.field("process_id", process::id());
    info.field("tcp_port", server.addresses.iter().find_map(Address::port).unwrap_or(0));
    info.field("server_time_usec", unix_time().as_micros());
    info.field("uptime_in_seconds", uptime);
    info.field("uptime_in_days", uptime / (24 * 60 * 60));
    info.field("thegiant_version", env!("CARGO_PKG_VERSION"));
    let actors = server.routes.actor_counts();
    info.field("thegiant_actors", actors.mounted);
    info.field("thegiant_actors_down", actors.down);
    info.field("thegiant_actor_restarts", actors.restarts);
    let workers = server.stats.workers();
    info.field("thegiant_workers", workers.len());
    for (index, worker) in workers.iter().enumerate() {
        info.field(
            &format!("thegiant_worker_{index}"),
            format_args!("clients={},commands={}", worker.clients(), worker.calls()),
        );
    }
}

fn clients(server: &ServerState, info: &mut InfoFields) {
    let clients = server.clients.all();
    let largest = |bytes: fn(&Client) -> usize| clients.iter().map(bytes).max().unwrap_or(0);
    info.field("connected_clients", clients.len());
    info.field("cluster_connections", 0);
    info.field("maxclients", server.settings.get(Setting::MaxClients));
    info.field("client_recent_max_input_buffer", largest(Client::input));
    info.field("client_recent_max_output_buffer", largest(Client::output));
    info.field("blocked_clients", clients.iter().filter(|client| client.is_blocked()).count());
    info.field("tracking_clients", server.keyspace.tracking_counts().clients);
    info.field("clients_in_timeout_table", 0);
}

fn memory(server: &ServerState, info: &mut InfoFields) {
    let MemoryUsage { used, peak, total } = MemoryUsage::now();
    info.field("used_memory", used);
    info.field("used_memory_human", human(used));
    info.field("used_memory_rss", used);
    info.field("used_memory_rss_human", human(used));
    info.field("used_memory_peak", peak);
    info.field("used_memory_peak_human", human(peak));
    info.field("total_system_memory", total);
    info.field("total_system_memory_human", human(total));
    info.field("maxmemory", 0);
    info.field("maxmemory_human", human(0));
    info.field("maxmemory_policy", "noeviction");
    info.field("mem_clients_normal", server.clients.memory.total());
}

/// Formats a number of bytes as Redis does: `1.50M`.
fn human(bytes: u64) -> String {
    const UNITS: [(&str, f64); 3] = [("G", 1073741824.0), ("M", 1048576.0), ("K", 1024.0)];
    let amount = bytes as f64;
    let unit = UNITS.into_iter().find(|(_, unit)| amount >= *unit);
    unit.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{:.2}{name}", amount / unit))
}

fn persistence(server: &ServerState, info: &mut InfoFields) {
    info.field("loading", 0);
    info.field("rdb_changes_since_last_save", 0);
    info.field("rdb_bgsave_in_progress", 0);
    info.field("aof_enabled", 0);
    if server.routes.group_commit_stats().next().is_some() {
        group_commit_stats(server, info);
    }
}

/// Writes the counters of group commit, which Redis does not have.
fn group_commit_stats(server: &ServerState, info: &mut InfoFields) {
    let sum = |count: fn(&GroupCommitStats) -> &LocalCounter| -> u64 {
        server.routes.group_commit_stats().map(|group_commit_stats| count(group_commit_stats).get()).sum()
    };
    let (groups, commands) = (
        sum(|group_commit_stats| &group_commit_stats.groups),
        sum(|group_commit_stats| &group_commit_stats.commands),
    );
    let each = if groups == 0 { 0.0 } else { commands as f64 / groups as f64 };
    let has_failed = server.routes.group_commit_stats().any(|stats| stats.has_failed.load(Relaxed));
    info.field("committed_groups", groups);
    info.field("committed_commands", commands);
    info.field("committed_commands_per_group", format_args!("{each:.2}"));
    info.field("commit_usec", sum(|group_commit_stats| &group_commit_stats.nanoseconds) / 1_000);
    info.field("commit_failures", sum(|group_commit_stats| &group_commit_stats.failures));
    info.field("last_commit_status", if has_failed { "err" } else { "ok" });
}

fn stats(server: &ServerState, info: &mut InfoFields) {
    let stats = &server.stats;
    info.field("total_connections_received", stats.connections.get());
    info.field("instantaneous_ops_per_sec", stats.rate());
    info.field("total_net_input_bytes", stats.input());
    info.field("total_net_output_bytes", stats.output());
    info.field("rejected_connections", stats.rejected.get());
    info.field("expired_keys", server.keyspace.expired_keys());
    info.field("evicted_clients", server.clients.evicted());
    info.field("pubsub_channels", server.pubsub.count(ChannelKind::Channel, b""));
    info.field("pubsub_patterns", server.pubsub.count(ChannelKind::Pattern, b""));
    info.field("pubsubshard_channels", server.pubsub.count(ChannelKind::Shard, b""));
    let tracking = server.keyspace.tracking_counts();
    info.field("tracking_total_keys", tracking.keys);
    info.field("tracking_total_items", tracking.items);
    info.field("tracking_total_prefixes", tracking.prefixes);
    info.field("total_commands_processed", stats.calls());
    info.field("total_error_replies", stats.errors().values().sum::<u64>());
}

fn replication(server: &ServerState, info: &mut InfoFields) {
    match server.role.get() {
        Role::Master => info.field("role", "master"),
        Role::Replica { host, port } => {
            info.field("role", "slave");
            info.field("master_host", host);
            info.field("master_port", port);
            info.field("master_link_status", "down");
            info.field("master_last_io_seconds_ago", -1);
            info.field("master_sync_in_progress", 0);
            info.field("slave_read_repl_offset", 0);
            info.field("slave_repl_offset", 0);
            info.field("master_link_down_since_seconds", -1);
            info.field("slave_priority", 100);
            info.field("slave_read_only", 1);
            info.field("replica_announced", 1);
        }
    }
    info.field("connected_slaves", 0);
    info.field("master_repl_offset", 0);
}

fn cpu(_: &ServerState, info: &mut InfoFields) {
    let usage = CpuUsage::now();
    let mut seconds = |name: &str, seconds: f64| info.field(name, format_args!("{seconds:.6}"));
    seconds("used_cpu_sys", usage.system);
    seconds("used_cpu_user", usage.user);
    seconds("used_cpu_sys_children", usage.children_system);
    seconds("used_cpu_user_children", usage.children_user);
}

/// Returns the commands that clients have sent, with their counters.
fn used(server: &ServerState) -> impl Iterator<Item = (&'static Spec, CommandCounts)> {
    let all = server.routes.commands().iter().copied().zip(server.stats.commands());
    all.filter(|(_, counts)| counts.calls + counts.rejected > 0)
}

fn commandstats(server: &ServerState, info: &mut InfoFields) {
    for (spec, CommandCounts { calls, nanoseconds, rejected, failed }) in used(server) {
        let micros = nanoseconds / 1_000;
        let each = if calls == 0 { 0.0 } else { nanoseconds as f64 / 1_000.0 / calls as f64 };
        info.field(
            &format!("cmdstat_{}", spec.full_name()),
            format_args!(
                "calls={calls},usec={micros},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}"
            ),
        );
    }
}

fn errorstats(server: &ServerState, info: &mut InfoFields) {
    for (code, count) in server.stats.errors() {
        info.field(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn latencystats(server: &ServerState, info: &mut InfoFields) {
    let all = server.routes.commands().iter().zip(server.stats.latencies());
    for (spec, latencies) in all {
        let Some(latencies) = latencies else { continue };
        let at = |quantile: f64| micros_at(&latencies, quantile);
        info.field(
            &format!("latency_percentiles_usec_{}", spec.full_name()),
            format_args!("p50={:.3},p99={:.3},p99.9={:.3}", at(0.5), at(0.99), at(0.999)),
        );
    }
}

fn micros_at(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1_000.0
}

fn cluster(server: &ServerState, info: &mut InfoFields) {
    info.field("cluster_enabled", u8::from(server.cluster.is_some()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_readable_bytes() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1536), "1.50K");
        assert_eq!(human(3 << 30), "3.00G");
    }
}
