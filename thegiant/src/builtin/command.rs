//! `COMMAND`: describes the commands of the server, from their rows.

use crate::{
    Args, Array, Error, Reply,
    batch::CommandRef,
    command::{
        ArgKind, ArgSpec, CONTAINER_CATEGORIES, Docs, Entry, Flags, KeyFlags, KeyRange, KeySpec, Spec,
    },
    commands,
    conn::ConnectionState,
    resp::{Encoder, glob},
};

#[commands(rows = COMMAND, group = "server")]
impl ConnectionState {
    /// Returns detailed information about all commands.
    #[command("COMMAND", loading, stale, tenant_safe, categories("connection"))]
    fn command(&self) -> Array<impl ExactSizeIterator<Item = Info<'_>>> {
        Array(self.entries().iter().map(|entry| Info(Described::Entry(entry))))
    }

    /// Returns a count of commands.
    #[command("COMMAND COUNT", loading, stale, tenant_safe, categories("connection"))]
    fn command_count(&self) -> usize {
        self.entries().len()
    }

    /// Returns a list of command names.
    #[command("COMMAND LIST", loading, stale, tenant_safe, categories("connection"))]
    fn command_list(&self, filter: Option<ListFilter<'_>>) -> Vec<String> {
        self.entries()
            .iter()
            .flat_map(Described::all_of)
            .filter(|described| filter.as_ref().is_none_or(|filter| filter.filterby.accepts(*described)))
            .map(Described::full_name)
            .collect()
    }

    /// Returns information about one, multiple or all commands.
    #[command("COMMAND INFO", loading, stale, tenant_safe, categories("connection"))]
    fn command_info(&self, command_name: Option<Vec<&[u8]>>) -> Vec<Option<Info<'_>>> {
        match command_name {
            Some(names) => names.iter().map(|name| self.described(name).map(Info)).collect(),
            None => self.entries().iter().map(|entry| Some(Info(Described::Entry(entry)))).collect(),
        }
    }

    /// Returns documentary information about one, multiple or all commands.
    #[command("COMMAND DOCS", loading, stale, tenant_safe, categories("connection"))]
    fn command_docs(&self, command_name: Option<Vec<&[u8]>>) -> DocsReply<'_> {
        match command_name {
            Some(names) => DocsReply(names.iter().filter_map(|name| self.described(name)).collect()),
            None => DocsReply(self.entries().iter().map(Described::Entry).collect()),
        }
    }

    /// Extracts the key names from an arbitrary command.
    #[command("COMMAND GETKEYS", loading, stale, tenant_safe, categories("connection"))]
    fn command_getkeys<'a>(&self, command: &'a [u8], arg: Vec<&'a [u8]>) -> Result<Vec<&'a [u8]>, Error> {
        let (_, keys) = self.keyed(command, &arg)?;
        let word = word_of(&arg);
        Ok(keys.positions(1 + arg.len(), &word).filter_map(&word).collect())
    }

    /// Extracts the key names and access flags for an arbitrary command.
    #[command("COMMAND GETKEYSANDFLAGS", loading, stale, tenant_safe, categories("connection"))]
    fn command_getkeysandflags<'a>(
        &self,
        command: &'a [u8],
        arg: Vec<&'a [u8]>,
    ) -> Result<Vec<(&'a [u8], KeyFlags)>, Error> {
        let (spec, _) = self.keyed(command, &arg)?;
        let word = word_of(&arg);
        let flags = spec.key_flags(1 + arg.len(), &word);
        Ok(flags.filter_map(|(position, flags)| Some((word(position)?, flags))).collect())
    }
}

impl ConnectionState {
    /// Returns the command with keys that these words call.
    fn keyed(&self, command: &[u8], args: &[&[u8]]) -> Result<(&'static Spec, KeySpec), Error> {
        let table = self.server.routes.table();
        let spec = table.spec(command, args.first().copied()).ok_or(INVALID_COMMAND)?;
        let keys = spec.keys.filter(|_| spec.has_keys()).ok_or(NO_KEYS)?;
        if !spec.accepts(1 + args.len()) {
            return Err(INVALID_ARITY);
        }
        Ok((spec, keys))
    }
}

/// Returns the word at a position of a request, without the name at position 0.
fn word_of<'a>(args: &[&'a [u8]]) -> impl Fn(usize) -> Option<&'a [u8]> {
    move |position| args.get(position.checked_sub(1)?).copied()
}

const INVALID_COMMAND: Error = Error::from_static("ERR Invalid command specified");
const NO_KEYS: Error = Error::from_static("ERR The command has no key arguments");
const INVALID_ARITY: Error = Error::from_static("ERR Invalid number of arguments specified for command");

impl ConnectionState {
    fn entries(&self) -> &[Entry<CommandRef>] {
        self.server.routes.table().entries()
    }

    /// Finds a command by its name in `COMMAND`'s form: `get`, `config` or `config|get`.
    fn described(&self, name: &[u8]) -> Option<Described<'_>> {
        let mut words = name.splitn(2, |byte| *byte == b'|');
        let entry = self.server.routes.table().get(words.next()?)?;
        match words.next() {
            Some(subcommand) => {
                Described::Entry(entry).subcommands().find(|described| described.is_named(subcommand))
            }
            None => Some(Described::Entry(entry)),
        }
    }
}

#[derive(Args)]
struct ListFilter<'a> {
    #[arg("FILTERBY")]
    filterby: Filter<'a>,
}

#[derive(Args)]
enum Filter<'a> {
    #[arg("MODULE", name = "module-name")]
    Module(#[expect(dead_code, reason = "there are no modules, so no command matches")] &'a [u8]),
    #[arg("ACLCAT", name = "category")]
    AclCategory(&'a [u8]),
    #[arg("PATTERN", pattern, name = "pattern")]
    Pattern(&'a [u8]),
}

impl Filter<'_> {
    fn accepts(&self, described: Described<'_>) -> bool {
        match self {
            Filter::Module(_) => false,
            Filter::AclCategory(category) => {
                let is_named = |name: &&str| name.as_bytes().eq_ignore_ascii_case(category);
                described.categories().iter().any(is_named)
            }
            Filter::Pattern(pattern) => glob::matches_ignore_case(pattern, described.full_name().as_bytes()),
        }
    }
}

/// One entry of a `COMMAND` reply: a command with its subcommands, or one subcommand.
#[derive(Clone, Copy)]
enum Described<'a> {
    Entry(&'a Entry<CommandRef>),
    Subcommand(&'a Entry<CommandRef>, &'static str, &'static Spec),
}

impl<'a> Described<'a> {
    fn all_of(entry: &'a Entry<CommandRef>) -> impl Iterator<Item = Described<'a>> {
        [Described::Entry(entry)].into_iter().chain(Described::Entry(entry).subcommands())
    }

    /// Returns the command's description, or `None` for a container without a function of its own.
    fn spec(self) -> Option<&'static Spec> {
        match self {
            Described::Entry(entry) => entry.command.map(|(spec, _)| spec),
            Described::Subcommand(.., spec) => Some(spec),
        }
    }

    fn full_name(self) -> String {
        match self {
            Described::Entry(entry) => entry.name.to_ascii_lowercase(),
            Described::Subcommand(entry, name, _) => format!("{}|{name}", entry.name).to_ascii_lowercase(),
        }
    }

    fn categories(self) -> Vec<&'static str> {
        self.spec().map_or_else(|| CONTAINER_CATEGORIES.to_vec(), Spec::category_names)
    }

    /// Returns whether the command's last word is `word`, ignoring case.
    fn is_named(self, word: &[u8]) -> bool {
        let name = match self {
            Described::Entry(entry) => entry.name,
            Described::Subcommand(_, name, _) => name,
        };
        name.as_bytes().eq_ignore_ascii_case(word)
    }

    fn subcommands(self) -> impl ExactSizeIterator<Item = Described<'a>> {
        let (entry, nested) = match self {
            Described::Entry(entry) => (entry, entry.subcommands.as_slice()),
            Described::Subcommand(entry, ..) => (entry, &[][..]),
        };
        nested.iter().map(move |(name, spec, _)| Described::Subcommand(entry, name, spec))
    }
}

/// The ten elements of `COMMAND INFO`.
struct Info<'a>(Described<'a>);

impl Reply for Info<'_> {
    fn write_to(self, out: &mut Encoder) {
        let described = self.0;
        let spec = described.spec();
        let keys = spec.and_then(|spec| spec.keys);
        let flags = spec.map_or(Flags::NONE, |spec| spec.flags);
        out.array(10);
        described.full_name().write_to(out);
        // A container needs at least a subcommand, unless it is a command itself.
        match spec {
            None => -2,
            Some(spec) if described.subcommands().len() > 0 => -spec.arity().abs(),
            Some(spec) => spec.arity(),
        }
        .write_to(out);
        let movable = keys.filter(|keys| !keys.options.is_empty()).map(|_| "movablekeys");
        // Redis does not list this flag.
        names(flags.names().filter(|name| *name != "may_replicate").chain(movable), out);
        let fixed = keys.filter(|_| movable.is_none());
        let (first, last, step) = fixed.map_or((0, 0, 0), |keys| (keys.first, keys.last, keys.step));
        first.write_to(out);
        last.write_to(out);
        step.write_to(out);
        names(described.categories().into_iter().map(|name| format!("@{name}")), out);
        let policies = spec.map(|spec| [spec.request_policy.tip(), spec.response_policy.tip()]);
        let tips: Vec<_> = policies.into_iter().flatten().flatten().collect();
        out.set(tips.len());
        tips.into_iter().for_each(|tip| out.bulk(tip.as_bytes()));
        let ranges = spec.map_or_else(Vec::new, Spec::key_ranges);
        out.set(ranges.len());
        for range in ranges {
            key_spec(range, keys.and_then(|keys| keys.token()), out);
        }
        // Redis sends an empty set here if there are no subcommands, and else an array.
        match described.subcommands() {
            none if none.len() == 0 => out.set(0),
            nested => Array(nested.map(Info)).write_to(out),
        }
    }
}

/// Writes a set of simple strings.
fn names(names: impl Iterator<Item = impl AsRef<str>>, out: &mut Encoder) {
    let names: Vec<_> = names.collect();
    out.set(names.len());
    names.iter().for_each(|name| out.simple(name.as_ref()));
}

impl Reply for KeyFlags {
    fn write_to(self, out: &mut Encoder) {
        names(self.names(), out);
    }
}

/// Writes a key specification: where the search begins, and how to find the keys from there.
fn key_spec(range: KeyRange, token: Option<&str>, out: &mut Encoder) {
    // Redis counts a positive last key from the first key, and a negative one from the end.
    let last = if range.last < 0 { range.last } else { range.last - range.first as i64 };
    out.map(3);
    "flags".write_to(out);
    range.flags.write_to(out);
    "begin_search".write_to(out);
    out.map(2);
    if let Some(token) = token {
        ["type", "keyword", "spec"].into_iter().for_each(|word| word.write_to(out));
        out.map(2);
        ["keyword", token, "startfrom"].into_iter().for_each(|word| word.write_to(out));
    } else {
        ["type", "index", "spec"].into_iter().for_each(|word| word.write_to(out));
        out.map(1);
        "index".write_to(out);
    }
    range.first.write_to(out);
    "find_keys".write_to(out);
    out.map(2);
    ["type", "range", "spec"].into_iter().for_each(|word| word.write_to(out));
    out.map(3);
    "lastkey".write_to(out);
    last.write_to(out);
    "keystep".write_to(out);
    range.step.write_to(out);
    "limit".write_to(out);
    // In Redis, 0 and 1 mean the same.
    if range.limit > 1 { range.limit } else { 0 }.write_to(out);
}

/// The map of `COMMAND DOCS`, with command names as keys.
struct DocsReply<'a>(Vec<Described<'a>>);

impl Reply for DocsReply<'_> {
    fn write_to(self, out: &mut Encoder) {
        out.map(self.0.len());
        for described in self.0 {
            described.full_name().write_to(out);
            document(described, out);
        }
    }
}

fn document(described: Described<'_>, out: &mut Encoder) {
    let spec = described.spec();
    let summary = spec.map_or("A container for subcommands", |spec| spec.summary);
    let group = described
        .subcommands()
        .chain([described])
        .find_map(Described::spec)
        .map_or("generic", |spec| spec.group);
    let since = spec.and_then(|spec| spec.since);
    let docs = spec.map_or(&Docs::NONE, Spec::docs);
    let args = spec.map_or(&[][..], |spec| spec.args);
    let has_subcommands = described.subcommands().len() > 0;
    let is_deprecated = docs.deprecated_since.is_some();
    let texts = [
        ("summary", Some(summary)),
        ("since", since),
        ("group", Some(group)),
        ("complexity", docs.complexity),
        ("deprecated_since", docs.deprecated_since),
        ("replaced_by", docs.replaced_by),
    ];

    let count = texts.iter().filter(|(_, text)| text.is_some()).count();
    let others = [is_deprecated, !args.is_empty(), has_subcommands];
    out.map(count + others.into_iter().map(usize::from).sum::<usize>());
    for (name, text) in texts {
        // The order is that of Redis.
        if name == "deprecated_since" && is_deprecated {
            "doc_flags".write_to(out);
            names(["deprecated"].iter(), out);
        }
        if let Some(text) = text {
            name.write_to(out);
            text.write_to(out);
        }
    }
    if !args.is_empty() {
        "arguments".write_to(out);
        arguments(args, docs, out);
    }
    if has_subcommands {
        "subcommands".write_to(out);
        DocsReply(described.subcommands().collect()).write_to(out);
    }
}

/// Writes the arguments as an array of maps. The options of an `Options` parameter take its place.
fn arguments(args: &'static [ArgSpec], docs: &Docs, out: &mut Encoder) {
    let flat: Vec<&ArgSpec> = args.iter().flat_map(flattened).collect();
    out.array(flat.len());
    flat.into_iter().for_each(|arg| argument(arg, docs, out));
}

fn flattened(arg: &'static ArgSpec) -> Vec<&'static ArgSpec> {
    match arg.kind {
        ArgKind::Options => arg.parts.iter().flat_map(flattened).collect(),
        _ => vec![arg],
    }
}

fn argument(arg: &ArgSpec, docs: &Docs, out: &mut Encoder) {
    let is_key = arg.kind == ArgKind::Key;
    let flags = [(arg.optional, "optional"), (arg.multiple, "multiple")];
    let flags: Vec<&str> = flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect();
    let summary = docs.argument(arg);
    let fields = [is_key, arg.token.is_some(), summary.is_some(), !flags.is_empty(), !arg.parts.is_empty()];

    out.map(2 + fields.into_iter().map(usize::from).sum::<usize>());
    "name".write_to(out);
    arg.name.write_to(out);
    "type".write_to(out);
    arg.kind.name().write_to(out);
    if is_key {
        "key_spec_index".write_to(out);
        out.integer(0);
    }
    if let Some(token) = arg.token {
        "token".write_to(out);
        token.write_to(out);
    }
    if let Some(summary) = summary {
        "summary".write_to(out);
        summary.write_to(out);
    }
    if !flags.is_empty() {
        "flags".write_to(out);
        names(flags.iter(), out);
    }
    if !arg.parts.is_empty() {
        "arguments".write_to(out);
        arguments(arg.parts, docs, out);
    }
}
