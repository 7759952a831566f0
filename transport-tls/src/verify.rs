//! A verifier that also checks pins and remembers what it refused.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::hash::Hash;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use crate::certificate::{CertificateInfo, public_key};
use crate::pin::{NotPinned, SpkiPin};

/// The most certificates of a chain that are remembered.
const MOST_SEEN: usize = 8;

/// What servers' certificates are held against: authorities, and pins if there are any.
#[derive(Clone, Debug)]
pub(crate) struct Checks {
    pub(crate) authorities: Arc<dyn ServerCertVerifier>,
    pub(crate) pins: Option<Pins>,
}

#[derive(Clone)]
pub(crate) struct Pins {
    pub(crate) allowed: Arc<[SpkiPin]>,
    pub(crate) sha256: &'static dyn Hash,
}

impl std::fmt::Debug for Pins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.allowed.fmt(f)
    }
}

impl Pins {
    /// Only the server's own key counts: the other certificates that it shows prove nothing.
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let Some(key) = public_key(certificate) else {
            return Err(CertificateError::BadEncoding.into());
        };
        let digest = self.sha256.hash(&key);
        let Ok(digest) = <[u8; 32]>::try_from(digest.as_ref()) else {
            return Err(Error::General("a SHA-256 has 32 bytes".to_string()));
        };
        let found = SpkiPin::from_digest(digest);
        if self.allowed.contains(&found) {
            return Ok(());
        }
        Err(CertificateError::Other(OtherError(Arc::new(NotPinned { found }))).into())
    }
}

/// Applies the checks to one server and keeps what it showed when it failed them: the TLS library's
/// errors do not say whose certificate it was. One lives as long as the server's tickets, which the
/// library gives only to the verifier that they came from.
#[derive(Debug)]
pub(crate) struct Witness {
    checks: Checks,
    refused: Mutex<Vec<CertificateInfo>>,
}

impl Witness {
    pub(crate) fn new(checks: Checks) -> Self {
        Self {
            checks,
            refused: Mutex::default(),
        }
    }

    /// The certificates refused last, the server's own first.
    pub(crate) fn refused(&self) -> Vec<CertificateInfo> {
        self.kept().clone()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<CertificateInfo>> {
        // A poisoned memory is still a memory.
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.checks.authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let verdict = verdict.and_then(|verified| {
            if let Some(pins) = &self.checks.pins {
                pins.check(end_entity)?;
            }
            Ok(verified)
        });
        if verdict.is_err() {
            *self.kept() = std::iter::once(end_entity)
                .chain(intermediates)
                .take(MOST_SEEN)
                .filter_map(CertificateInfo::of)
                .collect();
        }
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks
            .authorities
            .verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks
            .authorities
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.checks.authorities.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.checks.authorities.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.checks.authorities.root_hint_subjects()
    }
}
