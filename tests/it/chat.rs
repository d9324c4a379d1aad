use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
};

use crate::support::{Process, RawClient, line, request};

const BAD_NAME: &str = "-BADNAME a name has up to 32 letters, digits, - and _ of ASCII\r\n";
const BAD_TEXT: &str = "-BADTEXT a text is one line of up to 1000 bytes, and a room has up to 32 bytes, without control \
                        characters\r\n";

#[test]
fn names_are_short_plain_and_cannot_be_mistaken() {
    let chat = Process::program("chat");
    let [mut client, mut other] = [(), ()].map(|()| RawClient::connect(chat.address()));
    let long = "a".repeat(33);
    let wrong =
        ["", " ", "a b", "a\r\nb", "a\x1b[2J", "a\0", "a:", "*", "\u{430}da", "ad\u{e4}", "a\u{200d}", &long];
    for name in wrong {
        assert_eq!(client.ask(request([b"NICK", name.as_bytes()])), BAD_NAME, "{name:?}");
    }
    assert_eq!(client.ask(request([&b"NICK"[..], b"a\xff"])).first(), Some(&b'-'));
    assert_eq!(client.ask(line("WHO")), "*0\r\n");
    assert_eq!(client.ask(format!("NICK {}\r\n", &long[1..])), "+OK\r\n");
    assert_eq!(client.ask(line("NICK Ian_0")), "+OK\r\n");
    for name in ["Ian_0", "ian_0", "lan_0", "1AN_O"] {
        let taken = format!("-TAKEN the name {name} is taken\r\n");
        assert_eq!(other.ask(format!("NICK {name}\r\n")), taken);
    }
    // A guest may write the own name in another way.
    assert_eq!(client.ask(line("NICK ian_0")), "+OK\r\n");
    assert_eq!(other.ask(line("NICK ada")), "+OK\r\n");
}

#[test]
fn nobody_speaks_for_others() {
    let chat = Process::program("chat");
    let [mut client, mut listener] = [(), ()].map(|()| RawClient::connect(chat.address()));
    assert_eq!(client.ask(line("NICK ada")), "+OK\r\n");
    listener.send(line("PSUBSCRIBE *"));
    listener.reply();
    for command in ["PUBLISH", "SPUBLISH", "publish"] {
        let refusal = client.ask(format!("{command} lobby hello\r\n"));
        assert!(refusal.starts_with(b"-ERR unknown command"), "{refusal:?}");
    }
    let [long, long_room] = [1001, 33].map(|len| "x".repeat(len));
    let wrong = [
        ("lobby", "hello\r\nbob: hello"),
        ("lobby", "\x1b[1A\x1b[2Kbob: hello"),
        ("lobby", "\u{9b}2K"),
        ("lobby", "hello\u{2028}bob: hello"),
        ("lobby", "\u{202e}olleh"),
        ("lobby", &long),
        ("lob\nby", "hello"),
        (&long_room, "hello"),
    ];
    for (room, text) in wrong {
        assert_eq!(client.ask(request(["SAY", room, text])), BAD_TEXT, "{text:?}");
    }
    assert_eq!(client.ask(request(["SAY", "lobby", &long[1..]])), ":1\r\n");
    assert_eq!(
        listener.reply(),
        format!("*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$5\r\nlobby\r\n$1005\r\nada: {}\r\n", &long[1..])
    );
}

/// Compares the two windows of the README with the output of the program.
#[test]
fn the_readme_shows_the_real_output() {
    let readme = include_str!("../../examples/chat/README.md");
    let windows: Vec<&str> =
        readme.split("```console\n").skip(2).map(|block| block.split("```").next().unwrap_or("")).collect();
    let [subscriber_window, publisher_window] = windows[..] else {
        panic!("the README does not show two windows")
    };

    let chat = Process::program("chat");
    let (command, shown) = subscriber_window.split_once('\n').expect("a command and its output");
    let words: Vec<&str> = command.split(' ').skip_while(|word| *word != "6380").skip(1).collect();
    let mut listener = redis_cli(chat.address(), &words);
    let mut lines = BufReader::new(listener.stdout.take().expect("its output")).lines();
    let mut read =
        |count: usize| lines.by_ref().take(count).map(|line| line.expect("text") + "\n").collect::<String>();
    let (subscribed, messages) = shown.split_at(shown.match_indices('\n').nth(3).expect("four lines").0 + 1);
    assert_eq!(read(4), subscribed);

    let prompt = "127.0.0.1:6380> ";
    let (commands, expected): (Vec<&str>, Vec<&str>) =
        publisher_window.lines().skip(1).partition(|line| line.starts_with(prompt));
    let mut talker = redis_cli(chat.address(), &[]);
    let mut input = talker.stdin.take().expect("its input");
    commands
        .iter()
        .for_each(|line| writeln!(input, "{}", &line[prompt.len()..]).expect("redis-cli reads its input"));
    drop(input);
    let mut answers = String::new();
    talker.stdout.take().expect("its output").read_to_string(&mut answers).expect("text");
    talker.wait().expect("redis-cli ends");
    // redis-cli prints an empty line after an error.
    let answers: Vec<&str> = answers.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(answers, expected);

    assert_eq!(read(messages.lines().count()), messages);
    listener.kill().expect("redis-cli can be killed");
    listener.wait().expect("redis-cli ends");
}

fn redis_cli(address: &str, words: &[&str]) -> Child {
    let (_, port) = address.rsplit_once(':').expect("an address with a port");
    let mut command = Command::new("redis-cli");
    command.args(["-p", port, "--no-raw"]).args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("redis-cli can be run")
}
