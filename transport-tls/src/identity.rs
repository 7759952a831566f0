//! What a client shows of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;

use crate::config::TlsConfigError;
use crate::pem::{Pem, Use};

/// A client's certificate and its key.
///
/// The certificate comes first in its PEM, then those that lead to the authority. The key is PKCS#8,
/// PKCS#1 or SEC1, without a password. Both may be the same file.
///
/// ```
/// use transport_tls::{Identity, Pem};
///
/// let identity = Identity::new(
///     Pem::File("/etc/app/client.pem".into()),
///     Pem::File("/etc/app/client.key".into()),
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(crate) chain: Pem,
    pub(crate) key: Pem,
}

impl Identity {
    /// This certificate with this key.
    #[must_use]
    pub const fn new(chain: Pem, key: Pem) -> Self {
        Self { chain, key }
    }

    /// The certificate and the key, read, and found to belong together.
    pub(crate) fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsConfigError> {
        let chain = self.chain.certificates(Use::Chain)?;
        CertifiedKey::from_der(chain, self.key.key()?, provider).map_err(|source| {
            TlsConfigError::Identity {
                place: self.key.place(Use::Key),
                source,
            }
        })
    }
}

/// Shows the client's certificate, and notes when a server asked for one and there was none: before
/// TLS 1.3 the refusal that follows does not say so.
#[derive(Debug)]
pub(crate) struct Shown {
    identity: Arc<dyn ResolvesClientCert>,
    was_lacking: AtomicBool,
}

impl Shown {
    pub(crate) fn new(identity: Arc<dyn ResolvesClientCert>) -> Self {
        Self {
            identity,
            was_lacking: AtomicBool::new(false),
        }
    }

    /// Whether the last server that asked was shown nothing; forgotten by the call.
    pub(crate) fn take_lack(&self) -> bool {
        self.was_lacking.swap(false, Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let shown = self.identity.resolve(root_hint_subjects, sigschemes);
        self.was_lacking.store(shown.is_none(), Ordering::Relaxed);
        shown
    }

    fn only_raw_public_keys(&self) -> bool {
        self.identity.only_raw_public_keys()
    }

    fn has_certs(&self) -> bool {
        self.identity.has_certs()
    }
}
