//! What a client and a server agree on, and what is said where they do not.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code outside of the test functions"
)]

mod peers;

use std::net::SocketAddr;
use std::sync::Arc;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::failure::{Classify, Kind, Phase, Scope};
use peers::Ca;
use tokio::net::TcpStream;
use transport_tcp::{Tcp, TcpError};
use transport_tls::rustls::crypto::{CryptoProvider, ring};
use transport_tls::rustls::server::{ClientHello, ResolvesServerCert};
use transport_tls::rustls::sign::CertifiedKey;
use transport_tls::{
    Disagreement, Pem, Provider, Roots, ServerName, Tls, TlsConfig, TlsError, TlsStream, TlsVersion,
};

const NAME: &str = "broker.example";

type DialResult = Result<TlsStream<TcpStream>, TlsError<TcpError>>;

#[tokio::test]
async fn no_common_version_is_told_and_benches() {
    let ca = Ca::new();
    let (old, _log) = peers::echo(ca.server_of_1_2(NAME)).await;
    assert!(dial(trusting(&ca), old).await.is_ok());
    let error = dial(trusting(&ca).oldest_version(TlsVersion::V1_3), old).await;
    assert_disagree(error, Disagreement::Version, "no version of TLS in common");
}

#[tokio::test]
async fn no_common_cipher_is_told_and_benches() {
    let ca = Ca::new();
    let server = ca.server_by(only("TLS13_AES_128_GCM_SHA256"), NAME);
    let (address, _log) = peers::echo(server).await;
    let with = |cipher: &str| trusting(&ca).provider(Provider::Custom(only(cipher)));
    assert!(
        dial(with("TLS13_AES_128_GCM_SHA256"), address)
            .await
            .is_ok()
    );
    let error = dial(with("TLS13_CHACHA20_POLY1305_SHA256"), address).await;
    assert_disagree(error, Disagreement::Cipher, "no cipher");
}

#[tokio::test]
async fn no_common_key_exchange_is_told_and_benches() {
    let ca = Ca::new();
    let group = |place: usize| {
        let provider = ring::default_provider();
        let kx_groups = vec![provider.kx_groups[place]];
        Arc::new(CryptoProvider {
            kx_groups,
            ..provider
        })
    };
    let (address, _log) = peers::echo(ca.server_by(group(0), NAME)).await;
    let config = trusting(&ca).provider(Provider::Custom(group(1)));
    assert_disagree(
        dial(config, address).await,
        Disagreement::Cipher,
        "no cipher",
    );
}

#[tokio::test]
async fn a_protocol_that_the_server_does_not_speak_is_told_and_benches() {
    let ca = Ca::new();
    let mut server = ca.server(NAME);
    server.alpn_protocols = vec![b"mqtt".to_vec()];
    let (address, _log) = peers::echo(server).await;
    let agreed = dial(trusting(&ca).alpn(["stomp", "mqtt"]), address).await;
    assert_eq!(agreed.unwrap().session().alpn.as_deref(), Some("mqtt"));
    let error = dial(trusting(&ca).alpn(["stomp"]), address).await;
    assert_disagree(error, Disagreement::Alpn, "offered by ALPN");
}

#[tokio::test]
async fn a_server_without_a_certificate_to_show_is_told_and_benches() {
    let ca = Ca::new();
    let mut server = ca.server(NAME);
    server.cert_resolver = Arc::new(Nothing);
    let (address, _log) = peers::echo(server).await;
    let error = dial(trusting(&ca), address).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("or it has none of its own"), "{text}");
    let failure = error.failure();
    assert_eq!((failure.kind, failure.scope), (Kind::Tls, Scope::Endpoint));
}

#[tokio::test]
async fn the_group_of_the_key_exchange_is_told() {
    let ca = Ca::new();
    let (address, _log) = peers::echo(ca.server(NAME)).await;
    let session = dial(trusting(&ca), address).await.unwrap().session();
    assert_eq!(session.key_exchange, Some("X25519"));
}

#[cfg(all(feature = "ring", feature = "aws-lc-rs"))]
mod post_quantum {
    use failover_core::dial::{Dial, DialContext};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use transport_tls::rustls::HandshakeKind;
    use transport_tls::rustls::crypto::aws_lc_rs;

    use super::*;

    #[tokio::test]
    async fn the_post_quantum_group_is_used_where_the_server_has_it_also_when_resuming() {
        let ca = Ca::new();
        let server = ca.server_by(Arc::new(aws_lc_rs::default_provider()), NAME);
        let (address, _log) = peers::echo(server).await;
        let config = trusting(&ca).provider(Provider::AwsLcRs);
        let tls = Tls::new(Tcp::new(), config.client().unwrap());
        for handshake in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let to = target(address);
            let mut stream = tls.dial(&to, &DialContext::unbounded()).await.unwrap();
            stream.write_all(b"x").await.unwrap();
            stream.read_u8().await.unwrap();
            let session = stream.session();
            assert_eq!(session.handshake, Some(handshake));
            assert_eq!(session.key_exchange, Some("X25519MLKEM768"));
        }
    }

    #[tokio::test]
    async fn a_server_without_the_post_quantum_group_costs_no_round_trip_more() {
        let ca = Ca::new();
        let (address, _log) = peers::echo(ca.server(NAME)).await;
        let config = trusting(&ca).provider(Provider::AwsLcRs);
        let session = dial(config, address).await.unwrap().session();
        assert_eq!(session.key_exchange, Some("X25519"));
        // Not `FullWithHelloRetryRequest`.
        assert_eq!(session.handshake, Some(HandshakeKind::Full));
    }
}

/// ring with this cipher suite alone.
fn only(cipher: &str) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    let is_it = |name: Option<&str>| name == Some(cipher);
    provider
        .cipher_suites
        .retain(|one| is_it(one.suite().as_str()));
    assert_eq!(provider.cipher_suites.len(), 1, "{cipher}");
    Arc::new(provider)
}

/// No certificate for anybody.
#[derive(Debug)]
struct Nothing;

impl ResolvesServerCert for Nothing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

fn assert_disagree(result: DialResult, about: Disagreement, told: &str) {
    let error = result.unwrap_err();
    let TlsError::Handshake { disagreement, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*disagreement, about, "{error:?}");
    let text = error.to_string();
    assert!(text.contains(told) && text.contains("127.0.0.1:"), "{text}");
    let failure = error.failure();
    assert_eq!((failure.kind, failure.scope), (Kind::Tls, Scope::Endpoint));
    assert_eq!(failure.phase, Some(Phase::Tls));
}

fn trusting(ca: &Ca) -> TlsConfig {
    TlsConfig::new().roots(Roots::Only(Pem::Bytes(ca.pem())))
}

fn target(address: SocketAddr) -> Target {
    let name: ServerName = NAME.parse().unwrap();
    let endpoint = Endpoint::parse(&format!("tls://{address}")).unwrap();
    Target::new(Arc::new(endpoint.with(name)), 0)
}

async fn dial(config: TlsConfig, address: SocketAddr) -> DialResult {
    let tls = Tls::new(Tcp::new(), config.client().unwrap());
    tls.dial(&target(address), &DialContext::unbounded()).await
}
