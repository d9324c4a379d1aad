//! Python types, and the expressions that convert replies to them.

use crate::command::{ArgKind, ArgSpec, ReplySpec};

/// The type of a word of which only the server knows the kind.
pub(super) const WORD: &str = "str | bytes | int | float";

/// Returns the type of one argument, without its token and its repetition.
pub(super) fn of_arg(arg: &ArgSpec) -> String {
    match arg.kind {
        ArgKind::Integer | ArgKind::UnixTime => "int".to_owned(),
        ArgKind::Double => "float".to_owned(),
        ArgKind::Block => {
            let parts: Vec<String> = arg.parts.iter().map(of_arg).collect();
            format!("tuple[{}]", parts.join(", "))
        }
        ArgKind::Options | ArgKind::OneOf => format!("Sequence[{WORD}]"),
        _ => "str | bytes".to_owned(),
    }
}

/// Returns whether the type has several words: a value of it is a sequence.
pub(super) fn is_sequence(arg: &ArgSpec) -> bool {
    matches!(arg.kind, ArgKind::Block | ArgKind::Options | ArgKind::OneOf)
}

/// Returns the type of a reply.
pub(super) fn of_reply(reply: &ReplySpec) -> String {
    match reply {
        ReplySpec::Any => "Any".to_owned(),
        ReplySpec::Ok => "None".to_owned(),
        ReplySpec::String => "bytes".to_owned(),
        ReplySpec::Integer => "int".to_owned(),
        ReplySpec::Double => "float".to_owned(),
        ReplySpec::Boolean => "bool".to_owned(),
        ReplySpec::Array(element) => format!("list[{}]", of_reply(element)),
        ReplySpec::Set(element) => format!("set[{}]", of_reply(element)),
        ReplySpec::Map(key, value) => format!("dict[{}, {}]", of_reply(key), of_reply(value)),
        ReplySpec::Record(_) => "dict[str, Any]".to_owned(),
        ReplySpec::Tuple(elements) => {
            let elements: Vec<String> = elements.iter().map(of_reply).collect();
            format!("tuple[{}]", elements.join(", "))
        }
        ReplySpec::Nullable(reply) => match of_reply(reply) {
            any if any == "Any" => any,
            other => format!("{other} | None"),
        },
    }
}

/// Returns the expression that converts the reply in the variable `name`.
pub(super) fn converted(reply: &ReplySpec, name: &str) -> String {
    // Each level of nesting has a variable with one more letter.
    let inner = match name.strip_prefix("reply") {
        Some(_) => "x".to_owned(),
        None => format!("{}x", name.split('[').next().unwrap_or(name)),
    };
    match reply {
        ReplySpec::Any => name.to_owned(),
        ReplySpec::Ok => "None".to_owned(),
        ReplySpec::String => format!("_bytes({name})"),
        ReplySpec::Integer => format!("int({name})"),
        ReplySpec::Double => format!("float({name})"),
        ReplySpec::Boolean => format!("bool(int({name}))"),
        ReplySpec::Array(element) => format!("[{} for {inner} in {name}]", converted(element, &inner)),
        ReplySpec::Set(element) => format!("{{{} for {inner} in {name}}}", converted(element, &inner)),
        ReplySpec::Map(key, value) => {
            let (key, value) =
                (converted(key, &format!("{inner}[0]")), converted(value, &format!("{inner}[1]")));
            format!("{{{key}: {value} for {inner} in _pairs({name})}}")
        }
        ReplySpec::Record(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(field, reply)| format!("{field:?}: lambda {inner}: {}", converted(reply, &inner)))
                .collect();
            format!("_record({name}, {{{}}})", fields.join(", "))
        }
        ReplySpec::Tuple(elements) => {
            let element = |(index, element)| converted(element, &format!("{name}[{index}]"));
            let elements: Vec<String> = elements.iter().enumerate().map(element).collect();
            let comma = if elements.len() == 1 { "," } else { "" };
            format!("({}{comma})", elements.join(", "))
        }
        ReplySpec::Nullable(reply) => format!("(None if {name} is None else {})", converted(reply, name)),
    }
}
