use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
};

use crate::support::Process;

/// What the README shows of two windows is what they show.
#[test]
fn the_transcript_of_the_readme_is_true() {
    let readme = include_str!("../../examples/chat/README.md");
    let windows: Vec<&str> =
        readme.split("```console\n").skip(2).map(|block| block.split("```").next().unwrap_or("")).collect();
    let [reading, talking] = windows[..] else { panic!("two windows are shown") };

    let chat = Process::program("chat");
    let (command, shown) = reading.split_once('\n').expect("a command and what it shows");
    let words: Vec<&str> = command.split(' ').skip_while(|word| *word != "6380").skip(1).collect();
    let mut listener = redis_cli(chat.address(), &words);
    let mut lines = BufReader::new(listener.stdout.take().expect("its output")).lines();
    let mut read =
        |count: usize| lines.by_ref().take(count).map(|line| line.expect("text") + "\n").collect::<String>();
    let (subscribed, told) = shown.split_at(shown.match_indices('\n').nth(3).expect("four lines").0 + 1);
    assert_eq!(read(4), subscribed);

    let prompt = "127.0.0.1:6380> ";
    let (said, answered): (Vec<&str>, Vec<&str>) =
        talking.lines().skip(1).partition(|line| line.starts_with(prompt));
    let mut talker = redis_cli(chat.address(), &[]);
    let mut input = talker.stdin.take().expect("its input");
    said.iter().for_each(|line| writeln!(input, "{}", &line[prompt.len()..]).expect("it reads"));
    drop(input);
    let mut answers = String::new();
    talker.stdout.take().expect("its output").read_to_string(&mut answers).expect("text");
    talker.wait().expect("it ends");
    // Behind an error there is an empty line, as in a terminal.
    let answers: Vec<&str> = answers.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(answers, answered);

    assert_eq!(read(told.lines().count()), told);
    listener.kill().expect("it can be ended");
    listener.wait().expect("it ends");
}

fn redis_cli(address: &str, words: &[&str]) -> Child {
    let (_, port) = address.rsplit_once(':').expect("an address with a port");
    let mut command = Command::new("redis-cli");
    command.args(["-p", port, "--no-raw"]).args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("redis-cli can be run")
}
