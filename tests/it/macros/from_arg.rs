#![allow(dead_code, reason = "the tests read the fields through `Debug`")]

use std::fmt;

use thegiant::{
    FromArg, ReplyError,
    command::{ArgKind, ArgSpec, Tokens},
    prelude::*,
};

use crate::support::check;

#[derive(Debug, FromArg)]
struct Name<'a>(&'a str);

#[derive(Debug, FromArg)]
#[arg(range = 1..=65535)]
struct Port(u16);

#[derive(Debug, FromArg)]
#[arg(range = 0..)]
struct Positive(i64);

#[derive(Debug, FromArg)]
#[arg(range = ..MAX, error = "a share is below 1")]
struct Share(f64);

const MAX: f64 = 1.0;

/// Its error has its text only.
#[derive(Debug, FromArg)]
#[arg(try_from = "u64", range = 1..=1000)]
struct Even(u64);

impl TryFrom<u64> for Even {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        if number.is_multiple_of(2) { Ok(Even(number)) } else { Err(format!("{number} is odd")) }
    }
}

/// Its error has a code.
#[derive(Debug, FromArg)]
#[arg(try_from = "&'a str")]
enum Account<'a> {
    Known { name: &'a str },
}

#[derive(Debug, ReplyError)]
enum AccountError {
    #[reply(code = "NOACCOUNT")]
    Unknown,
    #[reply(internal)]
    Disk,
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AccountError::Unknown => "no such account",
            AccountError::Disk => "/var/lib/accounts: broken",
        })
    }
}

impl std::error::Error for AccountError {}

impl<'a> TryFrom<&'a str> for Account<'a> {
    type Error = AccountError;

    fn try_from(name: &'a str) -> Result<Self, AccountError> {
        match name {
            "ann" => Ok(Account::Known { name }),
            "disk" => Err(AccountError::Disk),
            _ => Err(AccountError::Unknown),
        }
    }
}

/// The conversion cannot fail.
#[derive(Debug, FromArg)]
#[arg(try_from = "Vec<u8>", pattern)]
struct Glob(usize);

impl From<Vec<u8>> for Glob {
    fn from(bytes: Vec<u8>) -> Self {
        Glob(bytes.len())
    }
}

#[derive(Debug, FromArg)]
enum Side {
    Left,
    #[arg("RIGHT", alias = "R", alias = "STARBOARD")]
    Starboard,
}

#[derive(Debug, FromArg)]
#[arg(error = "the unit is M or KM")]
enum Unit {
    M,
    Km,
}

struct Reader;

impl Actor for Reader {
    type Context = Context<Self>;
}

#[commands]
impl Reader {
    #[command("NAME")]
    fn name(&self, name: Name<'_>, names: Option<Vec<Name<'_>>>) -> String {
        format!("{name:?} {names:?}")
    }

    #[command("PORT")]
    fn port(&self, port: Port) -> String {
        format!("{port:?}")
    }

    #[command("POSITIVE")]
    fn positive(&self, number: Positive) -> String {
        format!("{number:?}")
    }

    #[command("SHARE")]
    fn share(&self, share: Share) -> String {
        format!("{share:?}")
    }

    #[command("EVEN")]
    fn even(&self, number: Even) -> String {
        format!("{number:?}")
    }

    #[command("ACCOUNT")]
    fn account(&self, account: Account<'_>) -> String {
        format!("{account:?}")
    }

    #[command("GLOB")]
    fn glob(&self, glob: Glob) -> String {
        format!("{glob:?}")
    }

    #[command("SIDE")]
    fn side(&self, side: Side, unit: Option<Unit>) -> String {
        format!("{side:?} {unit:?}")
    }

    #[command("SIDES")]
    fn sides(&self, options: Sides) -> String {
        format!("{:?} {:?}", options.side, options.unit)
    }
}

/// Has the words as options of their own, and behind a token.
#[derive(Args)]
struct Sides {
    side: Option<Side>,
    #[arg("UNIT")]
    unit: Option<Unit>,
}

fn app() -> App {
    App::new().mount(Reader.start())
}

#[test]
fn a_tuple_struct_reads_its_value() {
    check(
        app,
        &[("NAME a", "Name(\"a\") None"), ("NAME a b c", "Name(\"a\") Some([Name(\"b\"), Name(\"c\")])")],
    );
    assert_eq!(Name::ARG, <&str as FromArg<'_>>::ARG);
}

#[test]
fn a_value_outside_of_its_range_is_refused_as_in_redis() {
    check(
        app,
        &[
            ("PORT 1", "Port(1)"),
            ("PORT 65535", "Port(65535)"),
            ("PORT 0", "-value is out of range, value must between 1 and 65535"),
            ("PORT 65536", "-value is not an integer or out of range"),
            ("POSITIVE 0", "Positive(0)"),
            ("POSITIVE -1", "-value is out of range, must be positive"),
            ("EVEN 1002", "-value is out of range, value must between 1 and 1000"),
        ],
    );
}

#[test]
fn the_attribute_sets_the_text_of_the_error() {
    check(
        app,
        &[
            ("SHARE 0.5", "Share(0.5)"),
            ("SHARE 1", "-a share is below 1"),
            ("SHARE x", "-a share is below 1"),
            ("SHARE", "-wrong number of arguments for 'share' command"),
            ("SIDE left x", "-the unit is M or KM"),
        ],
    );
}

#[test]
fn a_converted_value_has_the_error_of_its_conversion() {
    check(
        app,
        &[
            ("EVEN 2", "Even(2)"),
            ("EVEN 3", "-3 is odd"),
            ("EVEN x", "-value is not an integer or out of range"),
            ("ACCOUNT ann", "Known { name: \"ann\" }"),
            ("ACCOUNT bob", "-NOACCOUNT no such account"),
            ("ACCOUNT disk", "-internal error"),
            ("GLOB a*", "Glob(2)"),
        ],
    );
    assert_eq!(Even::ARG, ArgSpec::new(ArgKind::Integer));
    assert_eq!(Glob::ARG, ArgSpec::new(ArgKind::Pattern));
}

#[test]
fn an_enum_reads_one_of_its_words() {
    check(
        app,
        &[
            ("SIDE left", "Left None"),
            ("SIDE RIGHT km", "Starboard Some(Km)"),
            ("SIDE r M", "Starboard Some(M)"),
            ("SIDE starboard", "Starboard None"),
            ("SIDE up", "-syntax error"),
            ("SIDE", "-wrong number of arguments for 'side' command"),
            ("SIDES unit m left", "Some(Left) Some(M)"),
            ("SIDES left right", "-syntax error"),
            ("SIDES UNIT", "-syntax error"),
        ],
    );
    let word = |token, name| ArgSpec::new(ArgKind::PureToken).token(token).named(name);
    assert_eq!(Side::ARG.kind, ArgKind::OneOf);
    assert_eq!(
        Side::ARG.parts,
        [word("LEFT", "left"), word("RIGHT", "right"), word("R", "r"), word("STARBOARD", "starboard")]
    );
    assert_eq!(Unit::TOKENS, ["M", "KM"]);
}
