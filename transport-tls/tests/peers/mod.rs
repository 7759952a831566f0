//! Peers on loopback, with the manners that the tests need, and an authority made on the spot.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "test code outside of the test functions; no test binary needs all of it"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use failover_core::testing::conformance::PeerLog;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams,
    CertifiedIssuer, DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    date_time_ymd,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use transport_tls::CertificateInfo;
use transport_tls::rustls::crypto::{CryptoProvider, ring};
use transport_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use transport_tls::rustls::server::WebPkiClientVerifier;
use transport_tls::rustls::version::TLS12;
use transport_tls::rustls::{ALL_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion};

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
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// A server for this name, now.
    pub(crate) fn server(&self, name: &str) -> ServerConfig {
        self.server_from(certificate_for(name))
    }

    /// A server for this name with this cryptography.
    pub(crate) fn server_by(&self, provider: Arc<CryptoProvider>, name: &str) -> ServerConfig {
        let (certificate, key) = self.certified(certificate_for(name));
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(ALL_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private(&key))
            .unwrap()
    }

    /// A server for this name that demands a client certificate of this authority.
    pub(crate) fn server_for_clients_of(&self, clients: &Self, name: &str) -> ServerConfig {
        self.demanding(clients, name, ALL_VERSIONS)
    }

    /// The same with TLS 1.2 only.
    pub(crate) fn server_of_1_2_for_clients_of(&self, clients: &Self, name: &str) -> ServerConfig {
        self.demanding(clients, name, &[&TLS12])
    }

    fn demanding(
        &self,
        clients: &Self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        roots.add(clients.0.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let (certificate, key) = self.certified(certificate_for(name));
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], private(&key))
            .unwrap()
    }

    /// A server for this name whose certificate comes from one in between, which it shows, too.
    pub(crate) fn server_below(&self, between: CertificateParams, name: &str) -> ServerConfig {
        let between =
            CertifiedIssuer::signed_by(between, KeyPair::generate().unwrap(), &self.0).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = certificate_for(name).signed_by(&key, &between).unwrap();
        chain(
            vec![own.der().clone(), between.der().clone()],
            &key,
            ALL_VERSIONS,
        )
    }

    /// A server for this name that knows TLS 1.2 only.
    pub(crate) fn server_of_1_2(&self, name: &str) -> ServerConfig {
        let (certificate, key) = self.certified(certificate_for(name));
        chain(vec![certificate.der().clone()], &key, &[&TLS12])
    }

    /// A certificate of this authority with its key.
    pub(crate) fn certified(&self, params: CertificateParams) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A list that revokes the certificates with these serial numbers.
    pub(crate) fn revocations(&self, serials: &[u64]) -> Vec<u8> {
        let revoked = serials.iter().map(|&serial| RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2999, 1, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params
            .signed_by(&self.0)
            .unwrap()
            .pem()
            .unwrap()
            .into_bytes()
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

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(key.serialize_der()).unwrap()
}

fn server(certificate: CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    chain(vec![certificate], key, ALL_VERSIONS)
}

fn chain(
    certificates: Vec<CertificateDer<'static>>,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, private(key))
        .unwrap()
}

/// A TLS server that says four bytes and ends as it should.
pub(crate) async fn greets_and_ends(config: ServerConfig) -> (SocketAddr, PeerLog) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            stream.write_all(b"full").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    })
    .await
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

/// A TLS server that tells each client whose certificate it has shown, in a line.
pub(crate) async fn who(config: ServerConfig) -> (SocketAddr, PeerLog) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let shown = stream
                .get_ref()
                .1
                .peer_certificates()
                .and_then(|all| all.first());
            let told = shown
                .and_then(CertificateInfo::of)
                .map_or("nobody".to_string(), |info| info.subject);
            let _ = stream.write_all(format!("{told}\n").as_bytes()).await;
            let _ = stream.flush().await;
            let _ = stream.read(&mut [0; 16]).await;
        }
    })
    .await
}

/// A TLS server that ends each connection without a `close_notify`.
pub(crate) async fn truncates(config: ServerConfig) -> (SocketAddr, PeerLog) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            stream.write_all(b"half").await.unwrap();
            stream.flush().await.unwrap();
            stream.into_inner().0.shutdown().await.unwrap();
        }
    })
    .await
}

/// A server that says this line, waits for one if it is told to, and goes on with TLS.
pub(crate) async fn prelude(
    line: &'static str,
    waits: Waits,
    config: Option<ServerConfig>,
) -> (SocketAddr, PeerLog) {
    let acceptor = config.map(|config| TlsAcceptor::from(Arc::new(config)));
    listen(move |mut stream| {
        let acceptor = acceptor.clone();
        async move {
            let _ = stream.write_all(line.as_bytes()).await;
            if waits == Waits::ForALine {
                while !matches!(stream.read_u8().await, Ok(b'\n') | Err(_)) {}
                let _ = stream.write_all(b"go ahead\r\n").await;
            }
            match acceptor {
                None => send_back(stream).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        send_back(stream).await;
                    }
                }
            }
        }
    })
    .await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Not,
    ForALine,
}

/// A peer that sends one byte of a TLS record after each look at the connection, for ever.
pub(crate) async fn drips() -> (SocketAddr, PeerLog) {
    listen(|mut stream| async move {
        let _ = stream
            .write_all(&[0x16, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc])
            .await;
        while stream.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
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

/// A peer that greets in plain text and then closes.
pub(crate) async fn greets_in_part(banner: &'static str) -> (SocketAddr, PeerLog) {
    listen(move |mut stream| async move {
        let _ = stream.write_all(banner.as_bytes()).await;
    })
    .await
}

/// An address at which nobody listens any more.
pub(crate) async fn nobody() -> SocketAddr {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    gone.local_addr().unwrap()
}

pub(crate) async fn listen<F>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, PeerLog)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = PeerLog::default();
    let noted = log.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Or else a ticket and the data after it wait for each other.
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
