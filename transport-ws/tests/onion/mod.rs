//! Onions on loopback: TLS, WebSocket, and both over TCP, with the peers that the tests need.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "test code outside of the test functions; no test binary needs all of it"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use failover_core::directory::Target;
use failover_core::testing::conformance::PeerLog;
use futures_util::{SinkExt, StreamExt};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use transport_tcp::Tcp;
use transport_tls::rustls::ServerConfig;
use transport_tls::rustls::crypto::ring;
use transport_tls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use transport_tls::{Pem, Roots, Tls, TlsConfig};

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Tls,
    Ws,
    Wss,
}

/// Both sides of TLS on loopback, made on the spot.
pub(crate) struct Authority {
    pem: Vec<u8>,
    server: Arc<ServerConfig>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1", "broker.example"].map(String::from);
        let own = CertificateParams::new(names).unwrap();
        let own = own.signed_by(&key, &ca).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)
            .unwrap();
        Self {
            pem: ca.pem().into_bytes(),
            server: Arc::new(server),
        }
    }

    /// Its certificate, as PEM.
    pub(crate) fn pem(&self) -> &[u8] {
        &self.pem
    }

    /// TLS over this, trusting the authority alone.
    pub(crate) fn tls(&self, tcp: Tcp) -> Tls<Tcp> {
        let roots = Roots::Only(Pem::Bytes(self.pem.clone()));
        Tls::new(tcp, TlsConfig::new().roots(roots).client().unwrap())
    }

    /// A server that does its handshakes, sends WebSocket messages back and reads to the end.
    pub(crate) async fn serve(&self, speaks: Speaks) -> (SocketAddr, PeerLog) {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.server));
        listen(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                match speaks {
                    Speaks::Ws => upgraded(stream).await,
                    Speaks::Tls | Speaks::Wss => {
                        let Ok(stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        match speaks {
                            Speaks::Tls => read_to_end(stream).await,
                            Speaks::Ws | Speaks::Wss => upgraded(stream).await,
                        }
                    }
                }
            }
        })
        .await
    }

    /// A server over TLS that sends everybody on.
    pub(crate) async fn sends_on(&self, location: String) -> (SocketAddr, PeerLog) {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.server));
        listen(move |stream| {
            let acceptor = acceptor.clone();
            let answer = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n");
            async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.flush().await;
                read_to_end(stream).await;
            }
        })
        .await
    }

    /// A server that does its TLS handshake and says nothing more.
    pub(crate) async fn mute_behind_tls(&self) -> (SocketAddr, PeerLog) {
        self.serve(Speaks::Tls).await
    }
}

/// Upgrades, and sends back what it reads, to the end.
async fn upgraded(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let Ok(mut stream) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    while let Some(Ok(message)) = stream.next().await {
        if message.is_binary() && stream.send(message).await.is_err() {
            return;
        }
    }
}

/// A peer that accepts, reads and says nothing.
pub(crate) async fn mute() -> (SocketAddr, PeerLog) {
    listen(read_to_end).await
}

/// A peer that resets the connection when it has read something.
pub(crate) async fn resets() -> (SocketAddr, PeerLog) {
    listen(|mut stream| async move {
        let _ = stream.read(&mut [0; 16]).await;
        stream.set_zero_linger().unwrap();
    })
    .await
}

/// A peer that refuses every upgrade, and repeats what it was asked.
pub(crate) async fn refuses() -> (SocketAddr, PeerLog) {
    listen(|mut stream| async move {
        let mut head = [0; 4096];
        let read = stream.read(&mut head).await.unwrap_or(0);
        let answer = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {read}\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.write_all(&head[..read]).await;
        read_to_end(stream).await;
    })
    .await
}

/// An address at which nobody listens any more.
pub(crate) async fn nobody() -> SocketAddr {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    gone.local_addr().unwrap()
}

pub(crate) fn target(url: impl AsRef<str>) -> Target {
    Target::parse(url.as_ref()).unwrap()
}

async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, PeerLog)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = PeerLog::default();
    let noted = log.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let seen = noted.accept();
            let serving = serve(stream);
            tokio::spawn(async move {
                serving.await;
                drop(seen);
            });
        }
    });
    (address, log)
}

async fn read_to_end(mut stream: impl AsyncRead + Unpin) {
    while let Ok(1..) = stream.read(&mut [0; 1024]).await {}
}
