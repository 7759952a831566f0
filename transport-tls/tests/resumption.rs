//! Sessions survive reconnects, also among servers that share a name.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::sync::Arc;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use peers::Ca;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport_tcp::Tcp;
use transport_tls::rustls::{HandshakeKind, ServerConfig};
use transport_tls::{Alpn, Pem, Roots, ServerName, Tls, TlsConfig, TlsVersion};

const NAME: &str = "broker.example";
const SERVERS: usize = 8;
const RECONNECTS: usize = 100;

#[tokio::test]
async fn of_100_reconnects_among_8_servers_of_one_name_99_are_resumed() {
    check(|ca| ca.server(NAME)).await;
}

#[tokio::test]
async fn so_they_are_with_tls_1_2() {
    check(|ca| ca.server_of_1_2(NAME)).await;
}

async fn check(server: impl Fn(&Ca) -> ServerConfig) {
    let ca = Ca::new();
    let mut targets = Vec::new();
    for _ in 0..SERVERS {
        let (address, _log) = peers::echo(server(&ca)).await;
        let endpoint = Endpoint::parse(&format!("tls://{address}")).unwrap();
        let name: ServerName = NAME.parse().unwrap();
        targets.push(Target::new(Arc::new(endpoint.with(name)), 0));
    }
    let roots = Roots::Only(Pem::Bytes(ca.pem()));
    let tls = Tls::new(Tcp::new(), TlsConfig::new().roots(roots).client().unwrap());
    for to in &targets {
        assert_eq!(connect(&tls, to).await, HandshakeKind::Full);
    }
    let mut resumed = 0;
    for to in targets.iter().cycle().take(RECONNECTS) {
        resumed += usize::from(connect(&tls, to).await == HandshakeKind::Resumed);
    }
    assert!(resumed >= RECONNECTS - 1, "{resumed} of {RECONNECTS}");
}

#[tokio::test]
async fn tickets_that_the_server_forgot_cost_a_full_handshake_and_no_failure() {
    let ca = Ca::new();
    let mut server = ca.server(NAME);
    server.session_storage = Arc::new(transport_tls::rustls::server::NoServerSessionStorage {});
    server.send_tls13_tickets = 2;
    let (address, _log) = peers::echo(server).await;
    let name: ServerName = NAME.parse().unwrap();
    let endpoint = Endpoint::parse(&format!("tls://{address}"))
        .unwrap()
        .with(name);
    let to = Target::new(Arc::new(endpoint), 0);
    let roots = Roots::Only(Pem::Bytes(ca.pem()));
    let tls = Tls::new(Tcp::new(), TlsConfig::new().roots(roots).client().unwrap());
    for _ in 0..3 {
        assert_eq!(connect(&tls, &to).await, HandshakeKind::Full);
    }
}

#[tokio::test]
async fn a_stream_tells_what_was_agreed() {
    let ca = Ca::new();
    check_session(ca.server(NAME), &ca, TlsVersion::V1_3, "TLS13_").await;
    check_session(ca.server_of_1_2(NAME), &ca, TlsVersion::V1_2, "TLS_ECDHE_").await;
}

async fn check_session(mut server: ServerConfig, ca: &Ca, version: TlsVersion, cipher: &str) {
    server.alpn_protocols = vec![b"mqtt".to_vec()];
    let (address, _log) = peers::echo(server).await;
    let name: ServerName = NAME.parse().unwrap();
    let endpoint = Endpoint::parse(&format!("tls://{address}"))
        .unwrap()
        .with(name)
        .with(Alpn::new(["stomp", "mqtt"]).unwrap());
    let to = Target::new(Arc::new(endpoint), 0);
    let roots = Roots::Only(Pem::Bytes(ca.pem()));
    let tls = Tls::new(Tcp::new(), TlsConfig::new().roots(roots).client().unwrap());
    for handshake in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut stream = tls.dial(&to, &DialContext::unbounded()).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.read_u8().await.unwrap();
        let session = stream.session();
        assert_eq!(session.version, Some(version));
        assert!(session.cipher.unwrap().starts_with(cipher), "{session:?}");
        assert_eq!(session.alpn.as_deref(), Some("mqtt"));
        assert_eq!(session.handshake, Some(handshake));
        assert_eq!(session.certificates[0].names, [NAME]);
    }
}

/// How a connection that was used for a byte there and back had begun.
async fn connect(tls: &Tls<Tcp>, to: &Target) -> HandshakeKind {
    let mut stream = tls.dial(to, &DialContext::unbounded()).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    // The tickets of TLS 1.3 come before the first byte of data.
    stream.read_u8().await.unwrap();
    stream.get_ref().1.handshake_kind().unwrap()
}
