use std::{cell::RefCell, panic, sync::Once};

use thegiant::prelude::*;

use crate::support::{RawClient, Served, app, exchange, line, lines, request};

/// Has some commands whose names the toolkit or other actors use, too.
#[derive(Debug)]
struct Own;

impl Actor for Own {
    type Context = Context<Self>;
}

#[commands]
impl Own {
    /// Replaces the built-in command.
    #[command("PING")]
    fn ping(&self) -> Simple {
        Simple("mine")
    }

    /// Replaces one subcommand of a built-in container command.
    #[command("CLIENT GETNAME")]
    fn client_getname(&self) -> Simple {
        Simple("nobody")
    }

    /// A container command that can also be called without a subcommand.
    #[command("BOX")]
    fn container(&self, text: Option<&[u8]>) -> Bytes {
        [b"box ", text.unwrap_or_default()].concat().into()
    }

    /// Its first subcommand.
    #[command("BOX OPEN", alias = "BOX UNLOCK")]
    fn open(&self, key: &[u8]) -> Bytes {
        [b"open ", key].concat().into()
    }

    /// Its second subcommand.
    #[command("BOX SHUT")]
    fn shut(&self) {}
}

/// Exists for the name of its command only.
#[derive(Debug)]
struct Clash;

impl Actor for Clash {
    type Context = Context<Self>;
}

#[commands]
impl Clash {
    /// Has the same name as an alias of another actor's command.
    #[command("FORGET")]
    fn forget(&self) {}
}

#[test]
fn command_names_are_case_insensitive() {
    let served = Served::start(app);
    for name in ["FIRST", "first", "FiRsT"] {
        assert_eq!(exchange(served.address(), request([name, "a"])), "$7\r\nfirst a\r\n");
    }
    for name in ["FIRS", "FIRSTS", "", "F\u{131}RST", "FIRST "] {
        let reply = exchange(served.address(), request([name, "a"]));
        let expected = format!("-ERR unknown command '{name}', with args beginning with: 'a' \r\n");
        assert_eq!(reply, expected);
    }
    // Redis, whose error texts end at a NUL, may find the command here: it compares names as C strings.
    let reply = exchange(served.address(), request(["FIRST\0", "a"]));
    assert_eq!(reply, "-ERR unknown command 'FIRST', with args beginning with: 'a' \r\n");
}

#[test]
fn an_actor_replaces_a_built_in_command() {
    let served = Served::start(|| App::new().mount(Own.start()));
    assert_eq!(exchange(served.address(), lines("PING \n ECHO a")), "+mine\r\n$1\r\na\r\n");
    assert_eq!(exchange(served.address(), lines("CLIENT GETNAME \n CLIENT SETNAME x")), "+nobody\r\n+OK\r\n");
}

#[test]
fn container_commands_dispatch_to_their_subcommands() {
    let served = Served::start(|| App::new().without("CLIENT").mount(Own.start()));
    let ask = |text: &str| exchange(served.address(), line(text));
    assert_eq!(ask("box open k"), "$6\r\nopen k\r\n");
    assert_eq!(ask("BOX UNLOCK k"), "$6\r\nopen k\r\n");
    assert_eq!(ask("BOX"), "$4\r\nbox \r\n");
    assert_eq!(ask("BOX OPEN"), "-ERR wrong number of arguments for 'box|open' command\r\n");
    assert_eq!(ask("BOX SHUT now"), "-ERR wrong number of arguments for 'box|shut' command\r\n");
    assert_eq!(ask("BOX BURN"), "$8\r\nbox BURN\r\n", "an argument of BOX itself");
    assert_eq!(ask("BOX BURN down"), "-ERR unknown subcommand 'BURN'. Try BOX HELP.\r\n");
    assert_eq!(ask("BOX HELP me"), "-ERR wrong number of arguments for 'box|help' command\r\n");
    assert_eq!(ask("CLIENT"), "-ERR wrong number of arguments for 'client' command\r\n");
    assert_eq!(ask("CLIENT ID"), "-ERR unknown subcommand 'ID'. Try CLIENT HELP.\r\n");
    assert_eq!(ask("CLIENT getname"), "+nobody\r\n");
    let help = ask("BOX HELP");
    for line in ["+OPEN key\r\n", "+    Its first subcommand\r\n", "+SHUT\r\n", "+HELP\r\n"] {
        assert!(help.windows(line.len()).any(|window| window == line.as_bytes()), "{line:?} in {help:?}");
    }
}

#[test]
fn built_in_commands_can_be_removed() {
    let served = Served::start(|| App::new().without("ECHO").without("client setname"));
    let ask = |text: &str| exchange(served.address(), line(text));
    assert_eq!(ask("ECHO a"), "-ERR unknown command 'ECHO', with args beginning with: 'a' \r\n");
    assert_eq!(ask("CLIENT SETNAME a"), "-ERR unknown subcommand 'SETNAME'. Try CLIENT HELP.\r\n");
    assert_eq!(ask("CLIENT GETNAME"), "$-1\r\n");
    assert_eq!(ask("PING"), "+PONG\r\n");
}

#[test]
fn a_removed_command_goes_to_the_fallback() {
    let served = Served::start(|| App::new().without("PING").fallback(|_: &Request<'_>| Simple("fallen")));
    assert_eq!(exchange(served.address(), lines("PING \n ECHO a")), "+fallen\r\n$1\r\na\r\n");
}

#[test]
fn a_fallback_sees_the_arguments_and_the_client() {
    let served = Served::start(|| {
        App::new().fallback(|request: &Request<'_>| {
            let args: Vec<String> =
                request.args().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
            let name = String::from_utf8_lossy(request.name()).into_owned();
            format!("{name} {} {args:?} {}", request.len(), request.client().addr())
        })
    });
    let mut client = RawClient::connect(served.address());
    let reply = client.ask(request(["Any", "", "two words"]));
    let expected = format!("Any 3 [\"\", \"two words\"] {}", client.local_address());
    assert_eq!(reply, format!("${}\r\n{expected}\r\n", expected.len()));
}

#[test]
fn a_fallback_keeps_state_and_runs_after_all_rows() {
    let served = Served::start(|| {
        let mut calls = 0;
        app().fallback(|_: &Request<'_>| Simple("replaced")).fallback(move |_: &Request<'_>| {
            calls += 1;
            calls
        })
    });
    assert_eq!(
        exchange(served.address(), lines("NOPE \n FIRST a \n PING \n NOPE x")),
        ":1\r\n$7\r\nfirst a\r\n+PONG\r\n:2\r\n"
    );
    assert_eq!(
        exchange(served.address(), lines("nope \n FIRST")),
        ":3\r\n-ERR wrong number of arguments for 'first' command\r\n"
    );
}

#[test]
fn a_fallback_can_reply_with_unknown_command() {
    let served = Served::start(|| {
        App::new().fallback(|request: &Request<'_>| match request.name() {
            b"KNOWN" if request.len() == 1 => Ok(()),
            b"KNOWN" => Err(request.wrong_arity()),
            _ => Err(request.unknown_command()),
        })
    });
    assert_eq!(
        exchange(served.address(), lines("KNOWN \n Known \n KNOWN x")),
        "+OK\r\n-ERR unknown command 'Known', with args beginning with: \r\n\
         -ERR wrong number of arguments for 'known' command\r\n"
    );
}

#[test]
fn an_application_without_actors_answers_built_in_commands() {
    let served = Served::start(App::new);
    assert_eq!(
        exchange(served.address(), lines("PING \n GET k")),
        "+PONG\r\n-ERR unknown command 'GET', with args beginning with: 'k' \r\n"
    );
}

thread_local! {
    static PANIC: RefCell<Option<(String, u32)>> = const { RefCell::new(None) };
}

/// Returns the message of a panic in `act`, and the line of this file that the panic names.
fn panic_of(act: impl FnOnce()) -> (String, u32) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let here = info.location().filter(|location| location.file().ends_with("dispatch.rs"));
            let payload = info.payload();
            let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let message = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
            PANIC.set(here.map(|location| (message, location.line())));
            usual(info);
        }));
    });
    panic::catch_unwind(panic::AssertUnwindSafe(act)).expect_err("the function panics");
    PANIC.take().expect("the panic names a line of this file")
}

#[test]
fn mounting_a_name_twice_panics_at_the_callers_line() {
    actix::System::new().block_on(async {
        let app = app();
        let clash = Clash.start();
        let before = line!();
        let (message, line) = panic_of(move || drop(app.mount(clash)));
        let expected =
            "the command FORGET is mounted twice: by it::support::app::First and by it::dispatch::Clash";
        assert_eq!((message.as_str(), line), (expected, before + 1));
    });
}

#[test]
fn applications_that_do_not_fit_panic_at_the_callers_line() {
    actix::System::new().block_on(async {
        let fallback = || App::new().fallback(|_: &Request| "any");
        let before = line!();
        let panics = [
            panic_of(|| drop(app().merge(app()))),
            panic_of(|| drop(App::new().databases(4).merge(App::new().databases(8)))),
            panic_of(|| drop(fallback().merge(fallback()))),
            panic_of(|| drop(App::new().merge_with_prefix("a.", fallback()))),
            panic_of(|| drop(App::new().merge_with_prefix("a b", App::new()))),
        ];
        let first = "it::support::app::First";
        let twice = format!("the command FIRST is mounted twice: by {first} and by {first}");
        let expected = [
            twice.as_str(),
            "two merged applications have 4 and 8 databases",
            "only one of two merged applications can have a fallback or proxy",
            "an application with a fallback or proxy cannot have a prefix",
            "\"a b\" cannot begin a command name",
        ];
        for ((panic, message), line) in panics.iter().zip(expected).zip(before + 2..) {
            assert_eq!((panic.0.as_str(), panic.1), (message, line));
        }
    });
}

#[test]
fn removing_an_unknown_built_in_command_panics_at_the_callers_line() {
    let before = line!();
    let (message, line) = panic_of(|| drop(App::new().without("PINK")));
    assert_eq!((message.as_str(), line), ("there is no built-in command PINK", before + 1));
}
