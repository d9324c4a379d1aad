//! The description of a reply.

use std::fmt;

/// The type of a reply that is not an error.
///
/// `#[commands]` computes it from the return type of a method. A [`Reply`](crate::Reply) of your own is
/// [`Any`](Self::Any), unless its implementation has the constant:
///
/// ```
/// use thegiant::{Reply, command::ReplySpec, resp::Encoder};
///
/// struct Point { x: f64, y: f64 }
///
/// impl Reply for Point {
///     const REPLY: ReplySpec = <(f64, f64)>::REPLY;
///
///     fn write_to(self, out: &mut Encoder) {
///         (self.x, self.y).write_to(out);
///     }
/// }
///
/// assert_eq!(<Option<Vec<Point>>>::REPLY.to_string(), "array of [double, double], or null");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplySpec {
    /// A type that is not described.
    Any,
    /// `OK`: the command has done its work.
    Ok,
    /// A string of any bytes, or a simple string.
    String,
    /// An integer, or a big number.
    Integer,
    /// A floating point number; a string in RESP2.
    Double,
    /// A boolean; 1 or 0 in RESP2.
    Boolean,
    /// An array of any length.
    Array(&'static ReplySpec),
    /// A set; an array in RESP2.
    Set(&'static ReplySpec),
    /// A map: the types of its keys and of its values. It is an array of keys and values in RESP2.
    Map(&'static ReplySpec, &'static ReplySpec),
    /// A map with these keys, in this order.
    Record(&'static [(&'static str, ReplySpec)]),
    /// An array with these elements.
    Tuple(&'static [ReplySpec]),
    /// This type, or null.
    Nullable(&'static ReplySpec),
}

/// Displays the type in words.
impl fmt::Display for ReplySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplySpec::Any => f.write_str("any"),
            ReplySpec::Ok => f.write_str("OK"),
            ReplySpec::String => f.write_str("string"),
            ReplySpec::Integer => f.write_str("integer"),
            ReplySpec::Double => f.write_str("double"),
            ReplySpec::Boolean => f.write_str("boolean"),
            ReplySpec::Array(element) => write!(f, "array of {}", Inner(element)),
            ReplySpec::Set(element) => write!(f, "set of {}", Inner(element)),
            ReplySpec::Map(key, value) => write!(f, "map of {} to {}", Inner(key), Inner(value)),
            ReplySpec::Record(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|(name, reply)| format!("{name}: {reply}")).collect();
                write!(f, "map {{{}}}", fields.join(", "))
            }
            ReplySpec::Tuple(elements) => {
                let elements: Vec<String> = elements.iter().map(ReplySpec::to_string).collect();
                write!(f, "[{}]", elements.join(", "))
            }
            ReplySpec::Nullable(reply) => write!(f, "{reply}, or null"),
        }
    }
}

/// Displays a type inside another one.
struct Inner<'a>(&'a ReplySpec);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ReplySpec::Any => f.write_str("any type"),
            ReplySpec::Nullable(_) => write!(f, "({})", self.0),
            reply => reply.fmt(f),
        }
    }
}
