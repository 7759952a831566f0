//! A certificate authority made on the spot, and what it vouches for.

use std::io;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ServerConfig};
use transport_tls::{Pem, Roots, TlsConfig};

/// Both sides of TLS on loopback.
pub(crate) struct Authority {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

impl Authority {
    /// A new authority, a server certificate for `127.0.0.1`, and a client that trusts it alone.
    pub(crate) fn new() -> io::Result<Self> {
        let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "failover demo authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let authority = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;

        let client = TlsConfig::new()
            .roots(Roots::Only(Pem::Bytes(authority.pem().into_bytes())))
            .build()
            .map_err(io::Error::other)?;
        Ok(Self {
            client,
            server: server(&authority)?,
        })
    }
}

fn server(authority: &CertifiedIssuer<'_, KeyPair>) -> io::Result<Arc<ServerConfig>> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = CertificateParams::new(["127.0.0.1".to_string()])
        .and_then(|params| params.signed_by(&key, authority))
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .map(Arc::new)
        .map_err(io::Error::other)
}
