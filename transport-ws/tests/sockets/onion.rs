//! The whole onion: WebSocket over TCP and over TLS, directly and through an HTTP CONNECT proxy,
//! keeps the promises of `Dial`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::common::try_request as request;
use crate::common::{UPGRADED, accept_key};
use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::failure::{Kind, Phase};
use failover_core::testing::conformance::{
    PeerLog, Violation, concurrent_dials_are_independent, does_nothing_before_it_is_polled,
    errors_hold_no_secrets, errors_tell_their_causes, fails_as, leaves_nothing_when_cancelled,
    waits_for_a_mute_peer_until_the_deadline,
};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use transport_tcp::{Proxy, Tcp, TokioClock};
use transport_tls::rustls::ServerConfig;
use transport_tls::rustls::crypto::ring;
use transport_tls::rustls::pki_types::PrivateKeyDer;
use transport_tls::{Pem, Roots, Tls, TlsConfig};
use transport_ws::{Ws, WsConfig};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn the_kit_passes_over_tcp() -> Result<(), Violation> {
    let (fine, log) = listen(|stream| async move { echo(stream).await }).await;
    kit(Tcp::new(), &target(fine), &log).await
}

#[tokio::test]
async fn the_kit_passes_over_tcp_through_a_proxy() -> Result<(), Violation> {
    let (proxy, log) = proxy().await;
    let (fine, _log) = listen(|stream| async move { echo(stream).await }).await;
    kit(Tcp::new().proxies(proxy), &target(fine), &log).await
}

#[tokio::test]
async fn the_kit_passes_over_tls() -> Result<(), Violation> {
    let (tls, acceptor) = trusted();
    let (fine, log) = tls_echo(acceptor).await;
    kit(
        Tls::new(Tcp::new(), tls.client().unwrap()),
        &target(fine),
        &log,
    )
    .await
}

#[tokio::test]
async fn the_kit_passes_over_tls_through_a_proxy() -> Result<(), Violation> {
    let (tls, acceptor) = trusted();
    let (proxy, log) = proxy().await;
    let (fine, _log) = tls_echo(acceptor).await;
    let tcp = Tcp::new().proxies(proxy);
    kit(Tls::new(tcp, tls.client().unwrap()), &target(fine), &log).await
}

/// All promises, over a dialer that reaches `fine`; `log` counts what it opens.
async fn kit<D>(inner: D, fine: &Target, log: &PeerLog) -> Result<(), Violation>
where
    D: Dial<Conn: AsyncRead + AsyncWrite + Unpin> + Clone,
{
    let clock = TokioClock::new();
    let ws = Ws::new(inner).config(WsConfig::default().header("X-Key", "sesame"));
    does_nothing_before_it_is_polled(&ws, fine, log, &clock).await?;
    leaves_nothing_when_cancelled(SHORT, &ws, fine, log, &clock).await?;

    let (closing, _log) = listen(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    fails_as(&[Kind::Closed, Kind::Reset], &ws, &target(closing), &clock).await?;
    errors_hold_no_secrets(&["sesame"], &ws, &target(closing), &clock).await?;

    let (mute, _log) =
        listen(
            |mut stream| async move { while let Ok(1..) = stream.read(&mut [0; 4096]).await {} },
        )
        .await;
    let mute = target(mute);
    let phase = match ws.security(&mute) {
        failover_core::endpoint::Security::Tls => Phase::Tls,
        _ => Phase::Upgrade,
    };
    waits_for_a_mute_peer_until_the_deadline(phase, SHORT, &ws, &mute, &clock).await?;
    concurrent_dials_are_independent(&ws, fine, &mute, &clock).await?;
    let (nobody, _log) = listen(|stream| async move { stream.set_zero_linger().unwrap() }).await;
    errors_tell_their_causes(&ws, &target(nobody), &clock).await?;

    let mut stream = ws.dial(fine, &DialContext::unbounded()).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
    stream.hang_up().await.unwrap();
    Ok(())
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let Some(head) = request(&mut stream).await else {
        return;
    };
    let answer = UPGRADED.replace("{accept}", &accept_key(&head));
    if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
        return;
    }
    let mut server = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(Ok(message)) = server.next().await {
        if message.is_binary() && server.send(message).await.is_err() {
            return;
        }
    }
}

async fn tls_echo(acceptor: TlsAcceptor) -> (SocketAddr, PeerLog) {
    listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                echo(stream).await;
            }
        }
    })
    .await
}

async fn proxy() -> (Proxy, PeerLog) {
    let (address, log) = listen(|mut client| async move {
        let Some(head) = request(&mut client).await else {
            return;
        };
        let to = head.split(' ').nth(1).unwrap_or_default();
        if let Ok(mut server) = TcpStream::connect(to).await {
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    })
    .await;
    (format!("http://{address}").parse().unwrap(), log)
}

/// A certificate for loopback: a client that trusts it alone, a server that shows it.
fn trusted() -> (TlsConfig, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let roots = Roots::Only(Pem::Bytes(made.cert.pem().into_bytes()));
    (
        TlsConfig::new().roots(roots),
        TlsAcceptor::from(Arc::new(server)),
    )
}

async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, PeerLog)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = PeerLog::default();
    let seen = log.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = seen.accept();
            let serving = serve(stream);
            tokio::spawn(async move {
                serving.await;
                drop(seen);
            });
        }
    });
    (address, log)
}

fn target(address: SocketAddr) -> Target {
    Target::parse(&format!("ws://{address}/")).unwrap()
}
