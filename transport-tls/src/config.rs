//! Which authorities are trusted, and what else a client says in its hello.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use thiserror::Error;

/// How a client does TLS: a plain value; [`build`](Self::build) makes the rustls configuration.
///
/// TLS 1.2 and 1.3 with the ring provider, certificates verified, sessions resumed. Whatever more
/// is needed (client certificates, a provider of your own), build a
/// [`ClientConfig`] with rustls and give it to [`Tls::new`](crate::Tls::new).
///
/// ```no_run
/// use transport_tcp::Tcp;
/// use transport_tls::{Pem, Roots, Tls, TlsConfig};
///
/// let config = TlsConfig::new()
///     .roots(Roots::Only(Pem::File("/etc/broker/ca.pem".into())))
///     .build()?;
/// let dialer = Tls::new(Tcp::new(), config);
/// # Ok::<(), transport_tls::TlsConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    roots: Roots,
    alpn: Vec<Vec<u8>>,
}

/// Which certificate authorities are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Roots {
    /// Those that the operating system trusts. The default.
    #[default]
    Platform,
    /// Those, and these.
    PlatformAnd(Pem),
    /// These and no others.
    Only(Pem),
}

/// Certificates in PEM form (text with `-----BEGIN CERTIFICATE-----`), one or more.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pem {
    /// The text itself.
    Bytes(Vec<u8>),
    /// A file that holds it, read when the configuration is built.
    File(PathBuf),
}

impl fmt::Debug for Pem {
    // A file of certificates may hold a private key, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl TlsConfig {
    /// The platform's authorities, no ALPN.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, trusting these authorities.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// The same, offering these protocols by ALPN, most wanted first. The default is none: the
    /// extension is not sent.
    #[must_use]
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The rustls configuration: build it once and share it, because it remembers the sessions
    /// that a reconnect resumes. Reads files and the platform's store, and so blocks.
    ///
    /// # Errors
    /// When a file cannot be read or holds no usable certificate, when the platform gives no
    /// authorities, or when a protocol name is empty or longer than 255 bytes.
    pub fn build(&self) -> Result<Arc<ClientConfig>, TlsConfigError> {
        if self
            .alpn
            .iter()
            .any(|name| !(1..=255).contains(&name.len()))
        {
            return Err(TlsConfigError::Alpn);
        }
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsConfigError::Provider)?;
        let builder = match &self.roots {
            Roots::Only(pem) => builder.with_root_certificates(store(pem, &certificates(pem)?)?),
            Roots::Platform => builder
                .dangerous()
                .with_custom_certificate_verifier(platform(Vec::new(), provider)?),
            Roots::PlatformAnd(pem) => {
                let extra = certificates(pem)?;
                store(pem, &extra)?;
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(platform(extra, provider)?)
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(Arc::new(config))
    }
}

fn platform(
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsConfigError> {
    Verifier::new_with_extra_roots(extra, provider)
        .map(|verifier| Arc::new(verifier) as Arc<dyn ServerCertVerifier>)
        .map_err(TlsConfigError::Platform)
}

/// The certificates as roots; an error says which of them cannot be one.
fn store(
    pem: &Pem,
    certificates: &[CertificateDer<'static>],
) -> Result<RootCertStore, TlsConfigError> {
    let mut store = RootCertStore::empty();
    for (certificate, number) in certificates.iter().zip(1..) {
        store
            .add(certificate.clone())
            .map_err(|source| TlsConfigError::BadCertificate {
                place: pem.place(),
                number,
                source,
            })?;
    }
    Ok(store)
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let read;
    let bytes = match pem {
        Pem::Bytes(bytes) => bytes,
        Pem::File(path) => {
            read = std::fs::read(path).map_err(|source| TlsConfigError::Unreadable {
                path: path.clone(),
                source,
            })?;
            &read
        }
    };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsConfigError::MalformedPem {
            place: pem.place(),
            source,
        })?;
    if certificates.is_empty() {
        return Err(TlsConfigError::NoCertificate {
            place: pem.place(),
            instead: looks_like(bytes),
        });
    }
    Ok(certificates)
}

impl Pem {
    fn place(&self) -> String {
        match self {
            Self::Bytes(_) => "the CA certificates given".to_string(),
            Self::File(path) => format!("the CA file `{}`", path.display()),
        }
    }
}

/// What bytes without a PEM certificate probably are.
fn looks_like(bytes: &[u8]) -> &'static str {
    let holds = |text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    if bytes.trim_ascii().is_empty() {
        "it is empty"
    } else if bytes.starts_with(&[0x30]) {
        "it looks like DER, which `openssl x509 -inform der` turns into PEM"
    } else if holds("PRIVATE KEY-----") {
        "it holds a private key, which does not belong there"
    } else {
        "it is something else"
    }
}

/// Why a TLS configuration cannot be built. Contents of files are never shown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// The file cannot be read.
    #[error("cannot read the CA file `{}`", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no PEM certificate.
    #[error(
        "expected PEM certificates (text with `-----BEGIN CERTIFICATE-----`) in {place}: {instead}"
    )]
    NoCertificate {
        /// The file, or the bytes.
        place: String,
        /// What it seems to be instead.
        instead: &'static str,
    },
    /// It begins like PEM and is broken.
    #[error("broken PEM in {place}")]
    MalformedPem {
        /// The file, or the bytes.
        place: String,
        /// What is broken.
        source: pem::Error,
    },
    /// A certificate cannot be an authority's.
    #[error("certificate {number} in {place} cannot be used as an authority")]
    BadCertificate {
        /// The file, or the bytes.
        place: String,
        /// Which certificate, counted from 1.
        number: usize,
        /// Why.
        source: rustls::Error,
    },
    /// The platform's verifier cannot be used.
    #[error("the platform's certificate authorities cannot be used")]
    Platform(#[source] rustls::Error),
    /// The cryptography provider supports no safe version.
    #[error("the cryptography provider supports no safe version of TLS")]
    Provider(#[source] rustls::Error),
    /// An ALPN protocol name of a wrong length.
    #[error("an ALPN protocol name has 1 to 255 bytes")]
    Alpn,
}
