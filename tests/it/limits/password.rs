use crate::support::{ANY_PORT, RawClient, Served, app, client_list, exchange, info, line, lines, request};

const NO_AUTH: &str = "-NOAUTH Authentication required.\r\n";
const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
const OK: &str = "+OK\r\n";

fn with_password() -> Served {
    Served::with(app, |server| server.password("secret").bind(ANY_PORT))
}

/// Returns an authenticated client.
fn operator(served: &Served) -> RawClient {
    let mut operator = RawClient::connect(served.address());
    assert_eq!(operator.ask(line("AUTH secret")), OK);
    operator
}

#[test]
fn commands_are_refused_before_the_password_is_given() {
    let served = with_password();
    let mut client = RawClient::connect(served.address());
    for refused in [
        "PING",
        "GET a",
        "SET a 1",
        "INFO",
        "CONFIG GET save",
        "CLIENT LIST",
        "SHUTDOWN",
        "MONITOR",
        "COMMAND",
        "CLIENT HELP",
    ] {
        assert_eq!(client.ask(line(refused)), NO_AUTH, "{refused}");
    }
    // The server reports mistakes in a request first.
    let unknown = "-ERR unknown command 'NOPE', with args beginning with: 'a' \r\n";
    assert_eq!(client.ask(line("NOPE a")), unknown);
    assert_eq!(client.ask(line("GET")), "-ERR wrong number of arguments for 'get' command\r\n");
    assert_eq!(client.ask(line("CLIENT NOPE")), "-ERR unknown subcommand 'NOPE'. Try CLIENT HELP.\r\n");
    assert!(client.ask(line("HELLO 3")).starts_with(b"-NOAUTH HELLO must be called with the client already"));
    assert_eq!(client.ask(line("RESET")), "+RESET\r\n");
    assert_eq!(client.ask(line("GET a")), NO_AUTH);
    client.send(line("QUIT"));
    assert_eq!(client.rest(), OK);
}

#[test]
fn auth_and_hello_accept_the_password() {
    let served = with_password();
    for (login, starts) in [
        ("AUTH secret", "+OK\r\n"),
        ("AUTH default secret", "+OK\r\n"),
        ("HELLO 2 AUTH default secret", "*14\r\n"),
        ("HELLO 3 AUTH default secret SETNAME me", "%7\r\n"),
    ] {
        let mut client = RawClient::connect(served.address());
        assert!(client.ask(line(login)).starts_with(starts.as_bytes()), "{login}");
        assert_eq!(client.ask(line("FIRST a")), "$7\r\nfirst a\r\n", "{login}");
    }
    for wrong in [
        "AUTH nope",
        "AUTH secre",
        "AUTH secret2",
        "AUTH SECRET",
        "AUTH other secret",
        "AUTH default nope",
        "AUTH Default secret",
        "HELLO 3 AUTH default nope",
        "HELLO 3 AUTH other secret",
    ] {
        let mut client = RawClient::connect(served.address());
        assert_eq!(client.ask(line(wrong)), WRONG, "{wrong}");
        assert_eq!(client.ask(line("GET a")), NO_AUTH, "{wrong}");
    }
    let mut client = RawClient::connect(served.address());
    assert_eq!(client.ask(request(["AUTH", ""])), WRONG);
    assert_eq!(client.ask(line("AUTH a b c")), "-ERR syntax error\r\n");
}

#[test]
fn hello_sets_nothing_before_the_password_is_given() {
    let served = with_password();
    let mut operator = operator(&served);
    let mut stranger = RawClient::connect(served.address());
    for (hello, error) in [
        ("HELLO 3 SETNAME me", "-NOAUTH HELLO"),
        ("HELLO 3 SETNAME me AUTH default nope", "-WRONGPASS"),
        ("HELLO 3 SETNAME me NOPE", "-ERR Syntax error in HELLO option 'NOPE'"),
    ] {
        assert!(stranger.ask(line(hello)).starts_with(error.as_bytes()), "{hello}");
        for shown in client_list(&mut operator, "") {
            assert_eq!((shown.text("name"), shown.number("resp")), ("", 2), "{hello}");
        }
    }
    let login = "HELLO 3 SETNAME me AUTH default secret SETNAME you";
    assert!(stranger.ask(line(login)).starts_with(b"%7\r\n"));
    assert_eq!(stranger.ask(line("CLIENT GETNAME")), "$3\r\nyou\r\n");
}

#[test]
fn a_wrong_password_does_not_log_out() {
    let served = with_password();
    let mut client = operator(&served);
    assert_eq!(client.ask(line("AUTH nope")), WRONG);
    assert_eq!(client.ask(line("PING")), "+PONG\r\n");
}

#[test]
fn an_empty_password_means_no_password() {
    let served = Served::with(app, |server| server.password("").bind(ANY_PORT));
    assert_eq!(exchange(served.address(), line("PING")), "+PONG\r\n");
}

#[test]
fn reset_logs_out_within_a_pipeline() {
    let served = with_password();
    let pipeline = "AUTH secret \n FIRST a \n RESET \n FIRST b \n GET k \n NOPE \n AUTH secret \n SECOND c";
    let unknown = "-ERR unknown command 'NOPE', with args beginning with: \r\n";
    let expected =
        format!("{OK}$7\r\nfirst a\r\n+RESET\r\n{NO_AUTH}{NO_AUTH}{unknown}{OK}$8\r\nsecond c\r\n");
    assert_eq!(exchange(served.address(), lines(pipeline)), expected);
}

/// The limits of unauthenticated clients end with the AUTH before the request, even in the same segment.
#[test]
fn a_large_request_after_auth_in_the_same_segment_is_accepted() {
    let served = with_password();
    let value = "x".repeat(20_000);
    let set = request(["SET", "k", &value]);
    let many = request(["DEL".to_owned()].into_iter().chain((0..100).map(|key| key.to_string())));
    let pipeline = [line("AUTH secret"), set.clone(), many, line("GET k")].concat();
    assert_eq!(exchange(served.address(), &pipeline), format!("{OK}{OK}:0\r\n$20000\r\n{value}\r\n"));
    // The result does not depend on the cut of the segment.
    for cut in [1, 20, 33, 40, 60, 10_000, 20_050, 20_080] {
        let mut client = RawClient::connect(served.address());
        let mut bystander = operator(&served);
        client.send(&pipeline[..cut]);
        bystander.let_server_read();
        client.send(&pipeline[cut..]);
        assert_eq!(client.replies(3), format!("{OK}{OK}:0\r\n"), "in two at {cut}");
    }
    // After a wrong password, the limits still apply.
    let refused = exchange(served.address(), [line("AUTH nope"), set].concat());
    assert_eq!(refused, format!("{WRONG}-ERR Protocol error: unauthenticated bulk length\r\n"));
}

#[test]
fn requests_before_the_password_are_limited() {
    let served = with_password();
    let allowed = request(["FIRST".to_owned(), "x".repeat(16_384)]);
    assert_eq!(exchange(served.address(), allowed), NO_AUTH);
    let ten = request(["DEL", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(exchange(served.address(), ten), NO_AUTH);
    assert_eq!(
        exchange(served.address(), "*2\r\n$5\r\nFIRST\r\n$16385\r\n"),
        "-ERR Protocol error: unauthenticated bulk length\r\n"
    );
    assert_eq!(
        exchange(served.address(), "*11\r\n"),
        "-ERR Protocol error: unauthenticated multibulk length\r\n"
    );
    assert_eq!(
        exchange(served.address(), "*3000000000\r\n"),
        "-ERR Protocol error: invalid multibulk length\r\n"
    );
    assert_eq!(
        exchange(served.address(), "*2\r\n$4\r\nECHO\r\n$9999999999\r\n"),
        "-ERR Protocol error: invalid bulk length\r\n"
    );
}

/// A client that reads its replies gets all of them.
/// `hostile::an_unauthenticated_client_takes_bounded_memory` has a client that does not read.
#[test]
fn many_requests_before_the_password_are_answered() {
    let served = with_password();
    let many = exchange(served.address(), line("PING").repeat(20_000));
    assert_eq!(many.len(), NO_AUTH.len() * 20_000);
}

/// An unauthenticated client must not fill the memory with partial requests.
#[test]
fn partial_requests_before_the_password_take_little_memory() {
    let served = with_password();
    let mut operator = operator(&served);
    let mut client = RawClient::connect(served.address());
    let mut bystander = RawClient::connect(served.address());
    // The largest allowed request has ten arguments of 16 KiB.
    client.send("*10\r\n");
    for _ in 0..9 {
        client.send(request([[b'x'; 16_384]]).split_off("*1\r\n".len()));
    }
    client.send("$16384\r\nbegun");
    assert_eq!(bystander.ask(line("PING")), NO_AUTH);
    assert!(info(&mut operator, "memory").number("mem_clients_normal") < 200_000);
    // An inline request is limited, too.
    let line_without_end = vec![b'x'; 2 << 20];
    let _ = bystander.try_send(&line_without_end);
    assert_eq!(bystander.rest(), "-ERR Protocol error: too big inline request\r\n");
}
