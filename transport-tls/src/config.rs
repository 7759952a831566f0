//! Which authorities are trusted, and what else a client says in its hello.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, pem};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use thiserror::Error;

use crate::client::TlsClient;
use crate::identity::Identity;
use crate::pem::{Pem, Stamp, Use};
use crate::pin::SpkiPin;
use crate::provider::{Provider, sha256};
use crate::verify::{Checks, Pins, Witness};

/// How a client does TLS: a plain value; [`client`](Self::client) makes what a
/// [`Tls`](crate::Tls) dials with.
///
/// | part | default | what it trades |
/// |---|---|---|
/// | provider | ring | aws-lc-rs: post-quantum key exchange, slower to build |
/// | roots | the platform's | own ones: no store is needed on the machine |
/// | versions | 1.2 and 1.3 | 1.3 alone: no old servers |
/// | ALPN | none offered | |
/// | identity | none | |
/// | pins | none | a server that gets a new key is refused |
/// | revocation lists | none | a list that has expired counts for nothing: renew it |
///
/// Certificates are always verified.
///
/// ```no_run
/// use transport_tcp::Tcp;
/// use transport_tls::{Identity, Pem, Roots, Tls, TlsConfig};
///
/// let file = |name: &str| Pem::File(format!("/etc/broker/{name}").into());
/// let client = TlsConfig::new()
///     .roots(Roots::Only(file("ca.pem")))
///     .identity(Identity::new(file("client.pem"), file("client.key")))
///     .client()?;
/// let dialer = Tls::new(Tcp::new(), client);
/// # Ok::<(), transport_tls::TlsConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    provider: Provider,
    roots: Roots,
    oldest: TlsVersion,
    alpn: Vec<Vec<u8>>,
    identity: Option<Identity>,
    pins: Vec<SpkiPin>,
    crls: Option<Pem>,
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
    /// Mozilla's, compiled in: for machines without a store. (Feature `webpki-roots`.)
    #[cfg(feature = "webpki-roots")]
    WebPki,
    /// Those, and these. (Feature `webpki-roots`.)
    #[cfg(feature = "webpki-roots")]
    WebPkiAnd(Pem),
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "TLS 1.2",
            Self::V1_3 => "TLS 1.3",
        })
    }
}

impl TlsConfig {
    /// The platform's authorities, TLS 1.2 and 1.3, nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with this cryptography.
    #[must_use]
    pub fn provider(mut self, provider: Provider) -> Self {
        self.provider = provider;
        self
    }

    /// The same, trusting these authorities.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// The same, refusing versions older than this.
    #[must_use]
    pub fn oldest_version(mut self, version: TlsVersion) -> Self {
        self.oldest = version;
        self
    }

    /// The same, offering these protocols by ALPN, most wanted first. The default is none: the
    /// extension is not sent. An endpoint may have an [`Alpn`](crate::Alpn) of its own.
    #[must_use]
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// The same, showing this certificate to servers that ask for one.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The same, accepting only servers with one of these public keys, besides all other checks.
    #[must_use]
    pub fn pins(mut self, pins: impl IntoIterator<Item = SpkiPin>) -> Self {
        self.pins = pins.into_iter().collect();
        self
    }

    /// The same, refusing server certificates that these lists revoke. An authority without a list
    /// revokes nothing. Not with the platform's roots, which have rules of their own.
    #[must_use]
    pub fn revocation_lists(mut self, crls: Pem) -> Self {
        self.crls = Some(crls);
        self
    }

    /// A client of this configuration, to be shared by all dialers of a kind. It reads the files now,
    /// so that a mistake is an error now, and again at a dial when they have changed; the platform's
    /// store is read at the first dial.
    ///
    /// # Errors
    /// When a file cannot be read or holds no usable certificate or key, or when parts of the
    /// configuration do not fit together.
    // Inlined into the program, as all it calls where there is nothing to check: one that knows TLS and needs it
    // nowhere touches no page of this crate.
    #[inline]
    pub fn client(self) -> Result<TlsClient, TlsConfigError> {
        TlsClient::made(self)
    }

    /// A bare rustls configuration, for use without [`TlsClient`]: read now and never again. Build
    /// it once and share it, because it remembers the sessions that a reconnect resumes, under the
    /// server's *name*: servers that share a name take each other's tickets. Reads files and the
    /// platform's store, and so blocks.
    ///
    /// # Errors
    /// As in [`client`](Self::client), and when the platform gives no authorities.
    pub fn build(&self) -> Result<Arc<ClientConfig>, TlsConfigError> {
        let base = self.load()?;
        let mut config = base.config;
        let witness = Arc::new(Witness::new(base.checks));
        config.dangerous().set_certificate_verifier(witness);
        Ok(Arc::new(config))
    }

    #[inline]
    pub(crate) fn has_nothing_to_check(&self) -> bool {
        let Self {
            provider: _,
            roots,
            oldest: _,
            alpn,
            identity,
            pins,
            crls,
        } = self;
        matches!(roots, Roots::Platform)
            && alpn.is_empty()
            && identity.is_none()
            && pins.is_empty()
            && crls.is_none()
    }

    /// Reads everything but the platform's store, which costs time and may be missing.
    pub(crate) fn check(&self) -> Result<(), TlsConfigError> {
        self.parts().map(|_| ())
    }

    /// What this configuration says, with everything read.
    pub(crate) fn load(&self) -> Result<Base, TlsConfigError> {
        let parts = self.parts()?;
        let provider = self.provider.to_rustls();
        let authorities = self.authorities(&parts, Arc::clone(&provider))?;
        let versions: &[_] = match self.oldest {
            TlsVersion::V1_2 => &[&TLS13, &TLS12],
            TlsVersion::V1_3 => &[&TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(TlsConfigError::Provider)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&authorities));
        let mut config = match parts.identity {
            None => builder.with_no_client_auth(),
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        let checks = Checks {
            authorities,
            pins: parts.pins,
        };
        Ok(Base { config, checks })
    }

    fn parts(&self) -> Result<Parts, TlsConfigError> {
        check_protocols(&self.alpn)?;
        let pins = self.checked_pins()?;
        let identity = match &self.identity {
            Some(identity) => Some(identity.load(&self.provider.to_rustls())?),
            None => None,
        };
        let own = match self.roots.own() {
            Some(pem) => pem.certificates(Use::Ca)?,
            None => Vec::new(),
        };
        if let Some(pem) = self.roots.own() {
            add(&mut RootCertStore::empty(), pem, &own)?;
        }
        let crls = match &self.crls {
            Some(_) if self.roots.asks_the_platform() => {
                return Err(TlsConfigError::CrlOfThePlatform);
            }
            Some(pem) => pem.crls()?,
            None => Vec::new(),
        };
        Ok(Parts {
            identity,
            pins,
            own,
            crls,
        })
    }

    fn checked_pins(&self) -> Result<Option<Pins>, TlsConfigError> {
        if self.pins.is_empty() {
            return Ok(None);
        }
        let sha256 = sha256(&self.provider.to_rustls()).ok_or(TlsConfigError::PinsNeedSha256)?;
        Ok(Some(Pins {
            allowed: self.pins.as_slice().into(),
            sha256,
        }))
    }

    fn authorities(
        &self,
        parts: &Parts,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, TlsConfigError> {
        if self.roots.asks_the_platform() {
            let verifier = Verifier::new_with_extra_roots(parts.own.iter().cloned(), provider);
            return Ok(Arc::new(verifier.map_err(TlsConfigError::Platform)?));
        }
        let mut roots = self.roots.compiled_in();
        if let Some(pem) = self.roots.own() {
            add(&mut roots, pem, &parts.own)?;
        }
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .with_crls(parts.crls.iter().cloned())
            .allow_unknown_revocation_status();
        let verifier = builder.enforce_revocation_expiration().build();
        Ok(verifier.map_err(TlsConfigError::Verifier)?)
    }

    /// The files that it reads, as they are now.
    pub(crate) fn stamps(&self) -> Vec<Option<Stamp>> {
        let identity = self.identity.iter();
        let identity = identity.flat_map(|identity| [&identity.chain, &identity.key]);
        identity
            .chain(self.roots.own())
            .chain(&self.crls)
            .map(Pem::stamp)
            .chain(self.roots.platform_stamps())
            .collect()
    }
}

impl Roots {
    /// The user's own.
    const fn own(&self) -> Option<&Pem> {
        match self {
            Self::PlatformAnd(pem) | Self::Only(pem) => Some(pem),
            #[cfg(feature = "webpki-roots")]
            Self::WebPkiAnd(pem) => Some(pem),
            #[cfg(feature = "webpki-roots")]
            Self::WebPki => None,
            Self::Platform => None,
        }
    }

    /// What changes when the platform's authorities do, where these are files.
    fn platform_stamps(&self) -> impl Iterator<Item = Option<Stamp>> {
        let files = match self.asks_the_platform() {
            true => platform_files(),
            false => &[],
        };
        files.iter().map(|file| Some(Stamp::of(file)))
    }

    const fn asks_the_platform(&self) -> bool {
        matches!(self, Self::Platform | Self::PlatformAnd(_))
    }

    fn compiled_in(&self) -> RootCertStore {
        match self {
            #[cfg(feature = "webpki-roots")]
            Self::WebPki | Self::WebPkiAnd(_) => RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            },
            Self::Only(_) | Self::Platform | Self::PlatformAnd(_) => RootCertStore::empty(),
        }
    }
}

/// The platform's store: a file, directories, or both. Elsewhere the verifier asks the system each time.
fn platform_files() -> &'static [PathBuf] {
    #[cfg(all(unix, not(any(target_vendor = "apple", target_os = "android"))))]
    {
        static FILES: std::sync::OnceLock<Vec<PathBuf>> = std::sync::OnceLock::new();
        FILES.get_or_init(|| {
            let found = openssl_probe::probe();
            found.cert_file.into_iter().chain(found.cert_dir).collect()
        })
    }
    #[cfg(not(all(unix, not(any(target_vendor = "apple", target_os = "android")))))]
    &[]
}

/// What was read, but for the platform's store.
struct Parts {
    identity: Option<CertifiedKey>,
    pins: Option<Pins>,
    own: Vec<CertificateDer<'static>>,
    crls: Vec<CertificateRevocationListDer<'static>>,
}

/// A loaded configuration.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) config: ClientConfig,
    pub(crate) checks: Checks,
}

pub(crate) fn check_protocols(names: &[Vec<u8>]) -> Result<(), TlsConfigError> {
    if names.iter().all(|name| (1..=255).contains(&name.len())) {
        Ok(())
    } else {
        Err(TlsConfigError::Alpn)
    }
}

/// Adds the certificates as roots; an error says which of them cannot be one.
fn add(
    store: &mut RootCertStore,
    pem: &Pem,
    certificates: &[CertificateDer<'static>],
) -> Result<(), TlsConfigError> {
    for (certificate, number) in certificates.iter().zip(1..) {
        let added = store.add(certificate.clone());
        added.map_err(|source| TlsConfigError::BadCertificate {
            place: pem.place(Use::Ca),
            number,
            source,
        })?;
    }
    Ok(())
}

/// Why a TLS configuration cannot be built. Contents of files are never shown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// The file cannot be read.
    #[error("cannot read {place}")]
    Unreadable {
        /// Which file.
        place: String,
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
    /// There is no PEM key.
    #[error("expected a PEM private key (PKCS#8, PKCS#1 or SEC1) in {place}: {instead}")]
    NoKey {
        /// The file, or the bytes.
        place: String,
        /// What it seems to be instead.
        instead: &'static str,
    },
    /// There is no PEM revocation list.
    #[error("expected PEM revocation lists (text with `-----BEGIN X509 CRL-----`) in {place}")]
    NoCrl {
        /// The file, or the bytes.
        place: String,
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
    /// The client's key cannot be used, or is not that of its certificate.
    #[error("{place} cannot be used with the client certificate")]
    Identity {
        /// The file of the key, or the bytes.
        place: String,
        /// Why.
        source: rustls::Error,
    },
    /// The platform's verifier cannot be used.
    #[error("the platform's certificate authorities cannot be used")]
    Platform(#[source] rustls::Error),
    /// Authorities or revocation lists cannot be used.
    #[error("the certificate authorities or revocation lists cannot be used")]
    Verifier(#[source] VerifierBuilderError),
    /// The platform's verifier takes no revocation lists.
    #[error("revocation lists need roots of one's own: the platform's have rules of their own")]
    CrlOfThePlatform,
    /// The cryptography provider supports no safe version.
    #[error("the cryptography provider supports no version of TLS that is allowed")]
    Provider(#[source] rustls::Error),
    /// The cryptography provider has no SHA-256.
    #[error("pins need a cryptography provider with SHA-256")]
    PinsNeedSha256,
    /// An ALPN protocol name of a wrong length.
    #[error("an ALPN protocol name has 1 to 255 bytes")]
    Alpn,
}
