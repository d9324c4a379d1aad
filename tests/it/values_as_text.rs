use std::{
    net::IpAddr,
    time::{Duration, Instant, UNIX_EPOCH},
};

use thegiant::{Milliseconds, Parsed, Seconds, UnixTime, UnixTimeMs, prelude::*};

use crate::support::check;

struct Values;

impl Actor for Values {
    type Context = Context<Self>;
}

/// Has a parsed value behind a token, and one in a pair.
#[derive(Args)]
struct Ban {
    #[arg("FOR", name = "days")]
    days: Option<Parsed<f32>>,
}

#[commands]
impl Values {
    #[command("MS")]
    fn milliseconds(&self, time: Milliseconds) -> Milliseconds {
        // Neither sum overflows.
        let _ = (Instant::now() + time.0, UNIX_EPOCH + time.0);
        time
    }

    #[command("S")]
    fn seconds(&self, time: Seconds) -> Seconds {
        let _ = Instant::now() + Duration::from(time);
        time
    }

    #[command("MS.TO.S")]
    fn to_seconds(&self, time: Milliseconds) -> Seconds {
        Duration::from(time).into()
    }

    #[command("AT")]
    fn at(&self, time: UnixTime) -> UnixTimeMs {
        UnixTimeMs(time.into())
    }

    #[command("ATMS")]
    fn at_ms(&self, time: UnixTimeMs) -> UnixTime {
        UnixTime(time.0)
    }

    #[command("BEFORE")]
    fn before(&self, time: Milliseconds) -> UnixTimeMs {
        UnixTimeMs(UNIX_EPOCH - time.0)
    }

    #[command("CHAR")]
    fn char(&self, one: char, more: Option<Vec<char>>) -> (char, Option<Vec<char>>) {
        (one, more)
    }

    #[command("U8")]
    fn number(&self, number: u8, bytes: Option<Vec<u8>>) -> (u8, Option<Vec<u8>>, [u8; 2]) {
        (number, bytes, *b"ab")
    }

    #[command("BAN")]
    fn ban(&self, address: Parsed<IpAddr>, options: Ban) -> (Parsed<IpAddr>, Option<f32>) {
        (address, options.days.map(|days| days.0))
    }

    #[command("PAIRS")]
    fn pairs(&self, pairs: Vec<(Key, Parsed<bool>)>) -> Vec<bool> {
        pairs.into_iter().map(|(_, value)| value.0).collect()
    }
}

fn app() -> App {
    App::new().mount(Values.start())
}

#[test]
fn a_time_has_its_unit_and_its_limits() {
    check(
        app,
        &[
            ("MS 1500", ":1500"),
            ("S 2", ":2"),
            ("MS.TO.S 1499", ":1"),
            ("MS.TO.S 1500", ":2"),
            ("AT 2", ":2000"),
            ("ATMS 1500", ":2"),
            ("BEFORE 1500", ":-1500"),
            ("MS -1", "-value is out of range, must be positive"),
            ("AT -1", "-value is out of range, must be positive"),
            ("MS 9223372036854775807", ":9223372036854775807"),
            ("MS 9223372036854775808", "-value is not an integer or out of range"),
            ("S 9223372036854775", ":9223372036854775"),
            ("S 9223372036854776", "-value is out of range"),
            ("AT 9223372036854776", "-value is out of range"),
            ("ATMS 9223372036854775807", ":9223372036854776"),
        ],
    );
}

#[test]
fn a_character_and_a_small_number_are_values() {
    check(
        app,
        &[
            ("CHAR ä", "*2\r\n$2\r\nä\r\n$-1"),
            ("CHAR a b c", "*2\r\n$1\r\na\r\n*2\r\n$1\r\nb\r\n$1\r\nc"),
            ("CHAR ab", "-invalid one: it is not one character"),
            ("CHAR \"\"", "-invalid one: it is not one character"),
            ("CHAR a b cd", "-invalid more: it is not one character"),
            ("U8 255 xy", "*3\r\n:255\r\n$2\r\nxy\r\n$2\r\nab"),
            ("U8 256", "-value is not an integer or out of range"),
            ("U8 1 x y", "-wrong number of arguments for 'u8' command"),
        ],
    );
}

#[test]
fn an_error_names_the_parameter() {
    check(
        app,
        &[
            ("BAN ::0001", "*2\r\n$3\r\n::1\r\n$-1"),
            ("BAN ::1 FOR 0.5", "*2\r\n$3\r\n::1\r\n$3\r\n0.5"),
            ("BAN x", "-invalid address: invalid IP address syntax"),
            ("BAN ::1 for x", "-invalid days: invalid float literal"),
            ("PAIRS a true b false", "*2\r\n:1\r\n:0"),
            ("PAIRS a true b x", "-invalid value: provided string was not `true` or `false`"),
        ],
    );
}

mod json {
    use std::collections::BTreeMap;

    use thegiant::{Json, prelude::*};

    use crate::support::check;

    struct Documents;

    impl Actor for Documents {
        type Context = Context<Self>;
    }

    #[commands]
    impl Documents {
        #[command("JSON")]
        fn json<'a>(&self, document: Json<BTreeMap<&'a str, i64>>) -> Json<Vec<(&'a str, i64)>> {
            Json(document.0.into_iter().collect())
        }

        /// JSON has only texts as names.
        #[command("UNWRITABLE")]
        fn unwritable(&self) -> Json<BTreeMap<Option<i64>, i64>> {
            Json(BTreeMap::from([(None, 1)]))
        }
    }

    #[test]
    fn a_document_is_read_and_written() {
        check(
            || App::new().mount(Documents.start()),
            &[
                ("JSON '{\"a\": 1}'", "[[\"a\",1]]"),
                ("JSON {", "-invalid document: EOF while parsing an object at line 1 column 1"),
                ("UNWRITABLE", "-internal error"),
            ],
        );
    }
}
