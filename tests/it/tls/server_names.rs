//! Certificates for several names of a server, and versions of TLS.

use thegiant::TlsProtocol;
use tokio_rustls::rustls::{
    ProtocolVersion,
    version::{TLS12, TLS13},
};

use super::{
    authority::Authority,
    client::{ALL_VERSIONS, TlsClient, client_config},
    listener::serve,
};
use crate::support::{app, line};

#[test]
fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let authority = Authority::new();
    let [first, second, wild] =
        ["localhost", "jobs.example", "*.cache.example"].map(|name| authority.issue(name));
    let [(second_files, wild_files)] = [(second.clone(), wild.clone())];
    let served = serve(app, first.clone(), move |server, tls| {
        let tls = tls.add_certificate(second_files.certificate, second_files.key);
        (server, tls.add_certificate(wild_files.certificate, wild_files.key))
    });
    let config = client_config(&authority, None, ALL_VERSIONS);
    for (name, identity) in [
        ("localhost", &first),
        ("jobs.example", &second),
        ("a.cache.example", &wild),
        ("b.cache.example", &wild),
    ] {
        let mut client = TlsClient::connect_with(served.address(), name, &config)
            .expect("the certificate is for the name");
        assert!(client.sees(identity), "{name}");
        assert_eq!(client.ask(line("PING")), "+PONG\r\n");
    }
    // The first certificate, which is for another name, or for no IP address.
    for name in ["unknown.example", "a.b.cache.example", "127.0.0.1"] {
        let error = TlsClient::connect_with(served.address(), name, &config);
        let error = error.err().expect("the certificate is for another name").to_string();
        assert!(error.contains("localhost") && error.contains(name), "{error}");
    }
}

#[test]
fn a_server_can_refuse_old_versions() {
    let authority = Authority::new();
    for (protocols, [old, new]) in [
        (vec![TlsProtocol::Tls12], [true, false]),
        (vec![TlsProtocol::Tls13], [false, true]),
        (vec![TlsProtocol::Tls13, TlsProtocol::Tls12], [true, true]),
    ] {
        let served =
            serve(app, authority.issue("localhost"), |server, tls| (server, tls.protocols(protocols)));
        for (versions, version, is_served) in
            [([&TLS12], ProtocolVersion::TLSv1_2, old), ([&TLS13], ProtocolVersion::TLSv1_3, new)]
        {
            let config = client_config(&authority, None, &versions);
            let client = TlsClient::connect_with(served.address(), "localhost", &config);
            let found = client.ok().and_then(|client| client.tls().protocol_version());
            assert_eq!(found, is_served.then_some(version));
        }
    }
}
