use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
};

use crate::support::Process;

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
