use std::{
    fs,
    io::ErrorKind,
    net::TcpListener,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

use thegiant::{App, Server};
use tracing::Level;

use crate::support::{ANY_PORT, Folder, Log, RawClient, Served, app, exchange, line, on_free_ports};

fn path_of(address: &str) -> PathBuf {
    Path::new(address.strip_prefix("unix:").expect("an address of a unix socket")).to_owned()
}

#[track_caller]
fn assert_serves(address: &str) {
    assert_eq!(exchange(address, line("PING")), "+PONG\r\n");
}

#[test]
fn a_server_listens_on_several_addresses() {
    let folder = Folder::new();
    let (one, other) = (folder.socket("one"), folder.socket("other"));
    let wanted =
        [ANY_PORT.to_owned(), ANY_PORT.to_owned(), "localhost:0".to_owned(), one.clone(), other.clone()];
    let served = Served::with(app, move |server| wanted.iter().try_fold(server, Server::bind));
    assert_eq!(served.addresses().len(), 5);
    assert_eq!(served.addresses()[3..], [one, other]);
    for address in served.addresses() {
        assert_serves(address);
    }
}

#[test]
fn a_server_logs_the_addresses_that_it_listens_on() {
    let folder = Folder::new();
    let socket = folder.socket("app.sock");
    let (log, bound) = (Log::default(), socket.clone());
    let kept = log.clone();
    let served = Served::with(
        move || {
            kept.keep(Level::INFO);
            app()
        },
        move |server| server.bind(ANY_PORT)?.bind(bound),
    );
    assert_serves(&socket);
    assert_eq!(log.addresses(), [served.address().to_owned(), socket]);
}

#[test]
fn a_server_listens_on_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("not tried: this system has no IPv6");
    }
    let served = Served::with(app, |server| server.bind("[::1]:0"));
    assert!(served.address().starts_with("[::1]:"));
    assert_serves(served.address());
}

/// An IPv6 listener on all addresses must not occupy the IPv4 port.
#[test]
fn all_ipv4_and_all_ipv6_addresses_share_a_port() {
    if TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("not tried: this system has no IPv6");
    }
    // Another process may use the port in the other address family.
    let served = on_free_ports(|[port]| {
        Served::try_with(app, move |server| {
            server.bind(format!("0.0.0.0:{port}"))?.bind(format!("[::]:{port}"))
        })
        .ok()
    });
    let port = served.address().replace("0.0.0.0:", "");
    assert_serves(&format!("127.0.0.1:{port}"));
    assert_serves(&format!("[::1]:{port}"));
}

#[test]
fn a_unix_socket_file_is_removed_after_a_stop() {
    let folder = Folder::new();
    let address = folder.socket("app.sock");
    let bound = address.clone();
    let served = Served::with(app, move |server| server.bind(bound));
    assert_serves(&address);
    served.stop().expect("it ends in order");
    assert!(!path_of(&address).exists());
}

#[test]
fn a_stale_unix_socket_is_replaced() {
    let folder = Folder::new();
    let address = folder.socket("app.sock");
    drop(UnixListener::bind(path_of(&address)).expect("it can be bound"));
    assert!(path_of(&address).exists(), "the file still exists");
    let bound = address.clone();
    let _served = Served::with(app, move |server| server.bind(bound));
    assert_serves(&address);
}

#[test]
fn a_unix_socket_in_use_is_left_alone() {
    let folder = Folder::new();
    let address = folder.socket("app.sock");
    let bound = address.clone();
    let _served = Served::with(app, move |server| server.bind(bound));
    let error = Server::new(App::new()).bind(&address).expect_err("the socket is in use");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_serves(&address);
}

#[test]
fn a_file_that_is_not_a_socket_is_left_alone() {
    let folder = Folder::new();
    let address = folder.socket("precious");
    fs::write(path_of(&address), "data").expect("it can be written");
    let error = Server::new(App::new()).bind(&address).expect_err("the file is not a socket");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(fs::read(path_of(&address)).expect("it is still there"), b"data");
}

#[test]
fn binding_a_port_in_use_fails() {
    let served = Served::start(app);
    let error = Server::new(App::new()).bind(served.address()).expect_err("the port is in use");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(served.address()), "{error}");
    assert_serves(served.address());
}

#[test]
fn invalid_addresses_are_refused() {
    for address in
        ["", "localhost", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "unix:", "nowhere.invalid:1"]
    {
        let error = Server::new(App::new()).bind(address).expect_err(address);
        assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
    }
}

#[test]
fn a_unix_socket_is_bound_by_its_path() {
    let folder = Folder::new();
    let unix = folder.socket("bound.sock");
    let path = path_of(&unix);
    let served = Served::with(app, move |server| server.bind_uds(path));
    assert_eq!(served.addresses(), std::slice::from_ref(&unix));
    assert_serves(&unix);
    served.stop().expect("it ends in order");
    assert!(!path_of(&unix).exists(), "the server removes its file");
    let missing = folder.socket("missing/bound.sock");
    let error = Server::new(App::new()).bind_uds(path_of(&missing)).expect_err("there is no such folder");
    assert!(error.to_string().starts_with(&format!("cannot listen on {missing}: ")), "{error}");
}

#[test]
fn listeners_made_by_the_program_are_served() {
    let folder = Folder::new();
    let unix = folder.socket("own.sock");
    let path = path_of(&unix);
    let tcp = TcpListener::bind(ANY_PORT).expect("a free port");
    let port = tcp.local_addr().expect("it is bound").to_string();
    let served =
        Served::with(app, move |server| Ok(server.listen(tcp).listen_uds(UnixListener::bind(path)?)));
    assert_eq!(served.addresses(), [port, unix.clone()]);
    for address in served.addresses() {
        assert_serves(address);
    }
    served.stop().expect("it ends in order");
    assert!(path_of(&unix).exists(), "the program owns the file");
}

#[test]
fn a_client_over_a_unix_socket_has_the_address_of_the_listener() {
    let folder = Folder::new();
    let address = folder.socket("app.sock");
    let bound = address.clone();
    let address_app =
        || App::new().fallback(|request: &thegiant::Request<'_>| request.client().addr().to_string());
    let _served = Served::with(address_app, move |server| server.bind(bound));
    let mut client = RawClient::connect(&address);
    assert_eq!(client.ask(line("WHO")), format!("${}\r\n{address}\r\n", address.len()));
}
