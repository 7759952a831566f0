//! Who does the cryptography.

use std::fmt;
use std::sync::Arc;

use rustls::SupportedCipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::{Hash, HashAlgorithm};

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!("transport-tls needs one of its features `ring` and `aws-lc-rs`");

/// Who does the cryptography: always explicit, never the process's default.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Provider {
    /// ring: the default. (Feature `ring`, on by default.)
    #[cfg(feature = "ring")]
    #[default]
    Ring,
    /// aws-lc-rs. It offers the post-quantum key exchange X25519MLKEM768 first, with a share of X25519
    /// beside it, so that a server without it costs no further round trip. The default where `ring` is
    /// off. (Feature `aws-lc-rs`.)
    #[cfg(feature = "aws-lc-rs")]
    #[cfg_attr(not(feature = "ring"), default)]
    AwsLcRs,
    /// One of your own.
    Custom(Arc<CryptoProvider>),
}

impl Provider {
    pub(crate) fn to_rustls(&self) -> Arc<CryptoProvider> {
        match self {
            #[cfg(feature = "ring")]
            Self::Ring => Arc::new(rustls::crypto::ring::default_provider()),
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLcRs => Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            Self::Custom(provider) => Arc::clone(provider),
        }
    }
}

/// The provider's SHA-256, if it has one: every provider of TLS 1.3 does.
pub(crate) fn sha256(provider: &CryptoProvider) -> Option<&'static dyn Hash> {
    provider.cipher_suites.iter().find_map(|suite| {
        let hash = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
            SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
        };
        (hash.algorithm() == HashAlgorithm::SHA256).then_some(hash)
    })
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Custom(one), Self::Custom(another)) => Arc::ptr_eq(one, another),
            (one, another) => std::mem::discriminant(one) == std::mem::discriminant(another),
        }
    }
}

impl Eq for Provider {}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(feature = "ring")]
            Self::Ring => "Ring",
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLcRs => "AwsLcRs",
            Self::Custom(_) => "Custom",
        })
    }
}
