//! Peers on loopback, with the manners that the tests need, and an authority made on the spot.

#![allow(
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use failover_core::testing::conformance::PeerLog;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use transport_tls::rustls::ServerConfig;
use transport_tls::rustls::crypto::ring;
use transport_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate authority.
pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    /// An authority with a name of its own.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("authority {number}"))
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// A server for this name, now.
    pub(crate) fn server(&self, name: &str) -> ServerConfig {
        self.server_from(certificate_for(name))
    }

    pub(crate) fn server_from(&self, params: CertificateParams) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        server(certificate.der().clone(), &key)
    }
}

pub(crate) fn certificate_for(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_string()]).unwrap()
}

/// A server whose certificate is an authority of its own.
pub(crate) fn self_signed(name: &str) -> ServerConfig {
    let mut params = certificate_for(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    server(params.self_signed(&key).unwrap().der().clone(), &key)
}

fn server(certificate: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

/// A TLS server that sends back what it reads.
pub(crate) async fn echo(config: ServerConfig) -> (SocketAddr, PeerLog) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                send_back(stream).await;
            }
        }
    })
    .await
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

/// A peer that closes the connection when it has read all that came.
pub(crate) async fn closes() -> (SocketAddr, PeerLog) {
    listen(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await
}

/// A peer that greets in plain text.
pub(crate) async fn greets(banner: &'static str) -> (SocketAddr, PeerLog) {
    listen(move |mut stream| async move {
        let _ = stream.write_all(banner.as_bytes()).await;
        read_to_end(stream).await;
    })
    .await
}

/// An address at which nobody listens any more.
pub(crate) async fn nobody() -> SocketAddr {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    gone.local_addr().unwrap()
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

async fn read_to_end(mut stream: TcpStream) {
    while let Ok(1..) = stream.read(&mut [0; 1024]).await {}
}

async fn send_back(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buf = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut buf).await {
        if stream.write_all(&buf[..read]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
