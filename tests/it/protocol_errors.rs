use crate::support::{Pair, RawClient, Served, app, exchange, line};

/// Input that breaks the protocol, and what is said to it.
const BROKEN: &[(&str, &str)] = &[
    ("*3000000000\r\n", "invalid multibulk length"),
    ("*2147483648\r\n", "invalid multibulk length"),
    ("*9223372036854775808\r\n", "invalid multibulk length"),
    ("*abc\r\n", "invalid multibulk length"),
    ("*+1\r\n", "invalid multibulk length"),
    ("*01\r\n", "invalid multibulk length"),
    ("* 1\r\n", "invalid multibulk length"),
    ("*\r\n", "invalid multibulk length"),
    ("*1\r\n$536870913\r\n", "invalid bulk length"),
    ("*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
    ("*1\r\n$9223372036854775808\r\n", "invalid bulk length"),
    ("*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
    ("*1\r\n$-1\r\n", "invalid bulk length"),
    ("*1\r\n$\r\n", "invalid bulk length"),
    ("*1\r\n$+4\r\n", "invalid bulk length"),
    ("*1\r\n$04\r\n", "invalid bulk length"),
    ("*1\r\n$ 4\r\n", "invalid bulk length"),
    ("*1\r\n$4 \r\n", "invalid bulk length"),
    ("*1\r\n$x\r\n", "invalid bulk length"),
    ("*2\r\n$4\r\nECHO\r\n$-5\r\n", "invalid bulk length"),
    ("*1\r\n*1\r\n", "expected '$', got '*'"),
    ("*1\r\n:1\r\n", "expected '$', got ':'"),
    ("*2\r\n$4\r\nECHO\r\nhi\r\n", "expected '$', got 'h'"),
    ("ECHO \"hi\r\n", "unbalanced quotes in request"),
    ("ECHO 'hi\r\n", "unbalanced quotes in request"),
    ("ECHO \"hi\"x\r\n", "unbalanced quotes in request"),
    ("ECHO 'hi'x\r\n", "unbalanced quotes in request"),
    ("ECHO \"\\\"\r\n", "unbalanced quotes in request"),
    ("\"\r\n", "unbalanced quotes in request"),
];

/// What is ignored, and leaves the connection in step.
const IGNORED: &[&str] =
    &["*0\r\n", "*-1\r\n", "*-10\r\n", "\r\n", "\n", "   \r\n", "\t\n", "*0\r\n\r\n*-1\r\n"];

fn text(error: &str) -> String {
    format!("-ERR Protocol error: {error}\r\n")
}

#[test]
fn broken_input() {
    let pair = Pair::start();
    for (input, error) in BROKEN {
        let input = format!("PING\r\n{input}");
        pair.assert_answer(input, &format!("+PONG\r\n{}", text(error)));
    }
}

#[test]
fn empty_requests() {
    let pair = Pair::start();
    for input in IGNORED {
        let input = format!("{input}PING\r\n{input}*1\r\n$4\r\nPING\r\n{input}");
        pair.assert_answer(input, "+PONG\r\n+PONG\r\n");
    }
}

#[test]
fn lines_without_an_end() {
    let pair = Pair::start();
    let long = |start: &str, len: usize| format!("{start}{}", "1".repeat(len)).into_bytes();
    pair.assert_answer(long("*", 65_536), &text("too big mbulk count string"));
    pair.assert_answer(long("*1\r\n$", 65_536), &text("too big bulk count string"));
    pair.assert_answer(long("x", 65_536), &text("too big inline request"));
    pair.assert_answer(long("x", 65_535), "");
    pair.assert_answer(long("*", 65_535), "");
    pair.assert_answer(long("*1\r\n$", 65_535), "");
}

/// Redis' own "protocol desync" test.
#[test]
fn a_nul_where_a_length_or_a_name_should_be() {
    let pair = Pair::start();
    for start in ["\0", "*\0", "*1\r\n$\0"] {
        let input = [start.as_bytes(), &[b'A'; 65_536]].concat();
        let error = match start {
            "\0" => "too big inline request",
            "*\0" => "too big mbulk count string",
            _ => "too big bulk count string",
        };
        pair.assert_answer(input, &text(error));
    }
}

#[test]
fn every_byte_where_a_bulk_should_begin() {
    let pair = Pair::start();
    // Redis takes a NUL for the end of what it has, and waits for more.
    for byte in 1..=u8::MAX {
        pair.assert_same([b"*1\r\n".as_slice(), &[byte], b"\r\n"].concat());
    }
}

/// Redis does not look at these two bytes and is out of step from there on.
#[test]
fn a_bulk_that_is_longer_than_announced() {
    let served = Served::start(app);
    for input in ["*1\r\n$4\r\nPINGS\r\n", "*1\r\n$4\r\nPING\rx", "*1\r\n$3\r\nPING\r\n"] {
        assert_eq!(exchange(served.address(), input), text("expected CRLF after bulk"), "given {input:?}");
    }
    let large = format!("*1\r\n$20000\r\n{}", "x".repeat(20_002));
    assert_eq!(exchange(served.address(), large), text("expected CRLF after bulk"));
}

#[test]
fn inline_words_are_those_of_redis() {
    let pair = Pair::start();
    for words in [
        r#""a b" c"#,
        r"'a b' c",
        r#""x\x4" y"#,
        r#""\x41\xfF\x0g""#,
        r#""\n\r\t\b\a\\\"\q""#,
        r"'\n\'x'",
        r#"pre"fix" x"#,
        "a\\b \"\" ''",
        "a\tb\x0bc\x0cd",
        "\u{e9}\u{20ac}",
    ] {
        // One error text shows all words: an unknown command quotes them.
        pair.assert_same(format!("NOPE {words}\r\n"));
        pair.assert_same(format!("ECHO {words}\r\n"));
    }
}

#[test]
fn the_rest_of_the_clients_stay() {
    let served = Served::start(app);
    let mut bystander = RawClient::connect(served.address());
    for (input, _) in BROKEN {
        exchange(served.address(), input);
        assert_eq!(bystander.ask(line("PING")), "+PONG\r\n");
    }
}
