//! A certificate for loopback addresses, made on the spot.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::BASE64;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};

/// A certificate that vouches for itself, with its key: it goes to the server through a pipe.
#[derive(Clone, Deserialize, Serialize)]
pub struct Identity {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Identity {
    /// A new one for these addresses.
    ///
    /// # Errors
    /// Those of the generator.
    pub fn new(addresses: &[IpAddr]) -> io::Result<Self> {
        let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
        params.subject_alt_names = addresses.iter().copied().map(SanType::IpAddress).collect();
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        Ok(Self {
            certificate: certificate.der().to_vec(),
            key: key.serialize_der(),
        })
    }

    /// A server that shows it.
    ///
    /// # Errors
    /// rustls refuses it.
    pub fn server(&self) -> io::Result<Arc<ServerConfig>> {
        self.server_by(Arc::new(ring::default_provider()))
    }

    /// The same with this provider's cryptography.
    ///
    /// # Errors
    /// rustls refuses it.
    pub fn server_by(&self, provider: Arc<CryptoProvider>) -> io::Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let chain = vec![CertificateDer::from(self.certificate.clone())];
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map(Arc::new)
            .map_err(io::Error::other)
    }

    /// Its certificate as PEM, for whoever is to trust it.
    pub fn pem(&self) -> String {
        let text = BASE64.encode(&self.certificate);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }

    /// A client that trusts it alone.
    ///
    /// # Errors
    /// rustls refuses it.
    pub fn client(&self) -> io::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from(self.certificate.clone()))
            .map_err(io::Error::other)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        Ok(Arc::new(
            builder.with_root_certificates(roots).with_no_client_auth(),
        ))
    }
}
