//! Sessions survive reconnects, also among servers that share a name.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::net::SocketAddr;
use std::sync::Arc;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use peers::Ca;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use transport_tcp::Tcp;
use transport_tls::rustls::server::ProducesTickets;
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
        targets.push(target(address));
    }
    let tls = client(&ca);
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
    let (to, tls) = (target(address), client(&ca));
    for _ in 0..3 {
        assert_eq!(connect(&tls, &to).await, HandshakeKind::Full);
    }
}

#[tokio::test]
async fn a_server_that_falls_over_a_ticket_is_shown_it_once() {
    let ca = Ca::new();
    for server in [ca.server(NAME), ca.server_of_1_2(NAME)] {
        let address = falls_over_tickets(server).await;
        let to = target(address);
        let tls = client(&ca);
        for _ in 0..3 {
            assert_eq!(connect(&tls, &to).await, HandshakeKind::Full);
            let cx = DialContext::unbounded();
            tls.dial(&to, &cx).await.map(drop).unwrap_err();
        }
    }
}

/// A server that ends by an alert whatever begins with one of its own tickets, as OpenSSL does where
/// clients show certificates and the server has set no session id context.
async fn falls_over_tickets(mut config: ServerConfig) -> SocketAddr {
    const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];
    config.ticketer = Arc::new(Marked);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 4096];
            let seen = stream.peek(&mut hello).await.unwrap();
            if hello[..seen].windows(MARK.len()).any(|part| part == MARK) {
                let _ = stream.read(&mut hello).await;
                let _ = stream.write_all(&INTERNAL_ERROR).await;
                continue;
            }
            let mut stream = acceptor.accept(stream).await.unwrap();
            let byte = stream.read_u8().await.unwrap();
            stream.write_u8(byte).await.unwrap();
        }
    });
    address
}

const MARK: &[u8] = b"a ticket of this server";

/// Tickets that are known when they come back.
#[derive(Debug)]
struct Marked;

impl ProducesTickets for Marked {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        3600
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        Some([MARK, plain].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        Some(ticket.strip_prefix(MARK)?.to_vec())
    }
}

fn target(address: SocketAddr) -> Target {
    let endpoint = Endpoint::parse(&format!("tls://{address}")).unwrap();
    let name: ServerName = NAME.parse().unwrap();
    Target::new(Arc::new(endpoint.with(name)), 0)
}

fn client(ca: &Ca) -> Tls<Tcp> {
    let roots = Roots::Only(Pem::Bytes(ca.pem()));
    Tls::new(Tcp::new(), TlsConfig::new().roots(roots).client().unwrap())
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
