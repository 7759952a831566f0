//! What a client shows of itself.

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
