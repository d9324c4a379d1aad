//! The page of all commands.

use std::fmt::Write;

use crate::command::{ArgKind, ArgSpec, Docs, ReplySpec, Spec};

/// Returns a Markdown page of commands, in the form of the Redis manual.
///
/// Each command has its syntax, its summary, its properties, its arguments, its reply and its errors.
pub fn markdown(title: &str, commands: impl IntoIterator<Item = &'static Spec>) -> String {
    let commands: Vec<&Spec> = commands.into_iter().collect();
    let mut page = format!("# {title}\n\n| command | |\n| --- | --- |\n");
    for spec in &commands {
        let anchor = spec.name.to_ascii_lowercase().replace(' ', "-");
        let anchor: String =
            anchor.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
        add(&mut page, format_args!("| [`{}`](#{anchor}) | {} |\n", spec.name, cell(spec.summary)));
    }
    if commands.iter().any(|spec| differs_in_resp2(&spec.reply)) {
        page.push_str(
            "\nClients of RESP2 get an array of keys and values instead of a map, an array instead of a set, 1 or 0 instead of \
             a boolean, and a string instead of a double.\n",
        );
    }
    commands.iter().for_each(|spec| command(spec, &mut page));
    page
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = page.write_fmt(text);
}

fn command(spec: &Spec, page: &mut String) {
    let docs = spec.docs();
    add(page, format_args!("\n## {}\n\n```text\n{}\n```\n", spec.name, spec.syntax()));
    if let Some(since) = docs.deprecated_since {
        let instead = docs.replaced_by.map(|instead| format!(" Use {instead} instead.")).unwrap_or_default();
        add(page, format_args!("\n> Deprecated since {since}.{instead}\n"));
    }
    if !spec.summary.is_empty() {
        add(page, format_args!("\n{}.\n", spec.summary));
    }
    if !docs.description.is_empty() {
        add(page, format_args!("\n{}\n", below(docs.description)));
    }
    page.push('\n');
    properties(spec, page);
    arguments(spec, page);
    reply(&spec.reply, page);
    if !docs.errors.is_empty() {
        add(page, format_args!("\n### Errors\n\n{}\n", docs.errors));
    }
}

/// Moves the headings of a description below those of the page.
fn below(description: &str) -> String {
    let mut is_code = false;
    let lines = description.lines().map(|line| {
        is_code ^= line.trim_start().starts_with("```");
        if line.starts_with('#') && !is_code { format!("##{line}") } else { line.to_owned() }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn properties(spec: &Spec, page: &mut String) {
    let flags: Vec<String> = spec.flags.names().map(|flag| format!("`{flag}`")).collect();
    let aliases: Vec<String> = spec.aliases.iter().map(|alias| format!("`{alias}`")).collect();
    let properties = [
        ("since", spec.since.map(str::to_owned)),
        ("group", Some(spec.group.to_owned())),
        ("flags", Some(flags.join(", "))),
        ("other names", Some(aliases.join(", "))),
        ("complexity", spec.docs().complexity.map(str::to_owned)),
    ];
    for (name, value) in properties {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            add(page, format_args!("- {name}: {value}\n"));
        }
    }
}

fn arguments(spec: &Spec, page: &mut String) {
    let mut rows = String::new();
    rows_of(spec.args, spec.docs(), false, &mut rows);
    if !rows.is_empty() {
        add(page, format_args!("\n### Arguments\n\n| argument | type | |\n| --- | --- | --- |\n{rows}"));
    }
}

/// Adds a row for each argument. The parts of options and choices have rows of their own.
fn rows_of(args: &[ArgSpec], docs: &Docs, is_optional: bool, rows: &mut String) {
    for arg in args {
        let is_optional = is_optional || arg.optional;
        let is_transparent =
            arg.kind == ArgKind::Options || arg.kind == ArgKind::OneOf && arg.token.is_none();
        if is_transparent && docs.argument(arg).is_none() {
            rows_of(arg.parts, docs, is_optional, rows);
            continue;
        }
        let kind = if arg.parts.is_empty() { arg.kind.name().to_owned() } else { parts(arg) };
        let optional = if is_optional { ", optional" } else { "" };
        let multiple = if arg.multiple { ", repeated" } else { "" };
        let name = match (arg.token, arg.kind) {
            (Some(token), ArgKind::PureToken) => token.to_owned(),
            (Some(token), _) => format!("{token} {}", arg.name),
            (None, _) => arg.name.to_owned(),
        };
        let text = cell(docs.argument(arg).unwrap_or_default());
        add(rows, format_args!("| `{name}` | {kind}{optional}{multiple} | {text} |\n"));
    }
}

/// Returns the types of the parts of an argument: `key value`.
fn parts(arg: &ArgSpec) -> String {
    let separator = if arg.kind == ArgKind::OneOf { " or " } else { ", " };
    let parts: Vec<String> = arg
        .parts
        .iter()
        .map(|part| match part.kind {
            ArgKind::PureToken => format!("`{}`", part.token.unwrap_or(part.name)),
            kind => format!("{} ({})", part.name, kind.name()),
        })
        .collect();
    parts.join(separator)
}

fn reply(reply: &ReplySpec, page: &mut String) {
    page.push_str("\n### Reply\n\n");
    let (inner, suffix) = match reply {
        ReplySpec::Nullable(inner) => (*inner, ", or null"),
        other => (other, ""),
    };
    if let ReplySpec::Record(fields) = inner {
        add(page, format_args!("A map{suffix}:\n\n"));
        for (name, field) in *fields {
            add(page, format_args!("- `{name}`: {field}\n"));
        }
    } else {
        add(page, format_args!("{reply}\n"));
    }
}

/// Returns whether a reply has a type that RESP2 lacks.
fn differs_in_resp2(reply: &ReplySpec) -> bool {
    match reply {
        ReplySpec::Double
        | ReplySpec::Boolean
        | ReplySpec::Set(_)
        | ReplySpec::Map(..)
        | ReplySpec::Record(_) => true,
        ReplySpec::Array(inner) | ReplySpec::Nullable(inner) => differs_in_resp2(inner),
        ReplySpec::Tuple(elements) => elements.iter().any(differs_in_resp2),
        _ => false,
    }
}

/// Escapes text for a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
