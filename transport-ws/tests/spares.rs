//! Spares over TLS and WebSocket: the keeper of a byte stream notices every end, and what it has read
//! meanwhile is the session's.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use failover_core::dial::{Dial, DialContext, Registry};
use failover_core::directory::Target;
use failover_core::testing::conformance::{PATIENCE, Violation, a_keeper_notices_the_end};
use futures_util::SinkExt;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use transport_tcp::{ByteStream, Tcp, TokioClock};
use transport_tls::rustls::ServerConfig;
use transport_tls::rustls::crypto::ring;
use transport_tls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use transport_tls::{Pem, Roots, Tls, TlsConfig};
use transport_ws::{Message, Ws};

const SCHEMES: [&str; 3] = ["tls", "ws", "wss"];

/// How a server ends its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With the goodbye of its protocol.
    Politely,
    /// With TCP's alone.
    Fin,
    Rst,
}

#[tokio::test]
async fn every_end_of_a_spare_is_noticed() -> Result<(), Violation> {
    let (world, clock) = (World::new(), TokioClock::new());
    for scheme in SCHEMES {
        for end in [End::Politely, End::Fin, End::Rst] {
            let (to, tell) = world.serve(scheme, b"", end).await;
            let (keeper, ends) = (|| ByteStream::poll_ended, || tell.send(true).unwrap());
            a_keeper_notices_the_end(&world.dialers, &to, keeper, ends, &clock).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_end_behind_a_greeting_is_noticed_and_the_greeting_is_the_sessions() {
    let world = World::new();
    for scheme in SCHEMES {
        let (to, tell) = world.serve(scheme, b"welcome", End::Politely).await;
        let cx = DialContext::unbounded();
        let mut stream = world.dialers.dial(&to, &cx).await.unwrap();
        tell.send(true).unwrap();
        let ended = poll_fn(|cx| stream.poll_ended(cx));
        timeout(PATIENCE, ended).await.expect("an end unnoticed");
        let mut read = [0; 7];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"welcome", "{scheme}");
    }
}

/// Dialers of every transport, and what their servers need.
struct World {
    dialers: Registry<ByteStream>,
    acceptor: TlsAcceptor,
}

impl World {
    fn new() -> Self {
        let own = generate_simple_self_signed(["127.0.0.1".to_string()]).unwrap();
        let CertifiedKey { cert, signing_key } = own;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let roots = Roots::Only(Pem::Bytes(cert.pem().into_bytes()));
        let tls = Tls::new(Tcp::new(), TlsConfig::new().roots(roots).client().unwrap());
        Self {
            dialers: Registry::default()
                .with("tls", tls.clone().map(ByteStream::new))
                .with("ws", Ws::new(Tcp::new()).map(ByteStream::new))
                .with("wss", Ws::new(tls).map(ByteStream::new)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
        }
    }

    /// A server that greets, and ends every connection once it is told to.
    async fn serve(
        &self,
        scheme: &'static str,
        greeting: &'static [u8],
        end: End,
    ) -> (Target, watch::Sender<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (tell, told) = watch::channel(false);
        let acceptor = self.acceptor.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if end == End::Rst {
                    stream.set_zero_linger().unwrap();
                }
                let (acceptor, told) = (acceptor.clone(), told.clone());
                tokio::spawn(async move {
                    match scheme {
                        "ws" => messages(stream, greeting, end, told).await,
                        "wss" => {
                            let stream = acceptor.accept(stream).await.unwrap();
                            messages(stream, greeting, end, told).await;
                        }
                        _ => {
                            let stream = acceptor.accept(stream).await.unwrap();
                            bytes(stream, greeting, end, told).await;
                        }
                    }
                });
            }
        });
        let to = Target::parse(&format!("{scheme}://{address}")).unwrap();
        (to, tell)
    }
}

async fn bytes(
    mut stream: impl AsyncWrite + Unpin,
    greeting: &[u8],
    end: End,
    mut told: watch::Receiver<bool>,
) {
    stream.write_all(greeting).await.unwrap();
    stream.flush().await.unwrap();
    told.wait_for(|told| *told).await.unwrap();
    if end == End::Politely {
        stream.shutdown().await.unwrap();
    }
}

async fn messages<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    greeting: &'static [u8],
    end: End,
    mut told: watch::Receiver<bool>,
) {
    let mut stream = tokio_tungstenite::accept_async(stream).await.unwrap();
    if !greeting.is_empty() {
        stream.send(Message::binary(greeting)).await.unwrap();
    }
    told.wait_for(|told| *told).await.unwrap();
    if end == End::Politely {
        stream.close(None).await.unwrap();
    }
}
