//! Text with certificates or a key, given or in a file.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem};

use crate::config::TlsConfigError;

/// PEM text (with lines like `-----BEGIN CERTIFICATE-----`): one or more certificates, or a key.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pem {
    /// The text itself.
    Bytes(Vec<u8>),
    /// A file that holds it: read when the configuration is built, and by a
    /// [`TlsClient`](crate::TlsClient) again whenever it has changed.
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

/// What a PEM is for: a word in errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Ca,
    Chain,
    Key,
    Crl,
}

impl Use {
    const fn what(self) -> &'static str {
        match self {
            Self::Ca => "CA",
            Self::Chain => "client certificate",
            Self::Key => "client key",
            Self::Crl => "revocation list",
        }
    }
}

impl Pem {
    /// Its certificates, at least one.
    pub(crate) fn certificates(
        &self,
        used: Use,
    ) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        self.all(used)
    }

    /// Its revocation lists, at least one.
    pub(crate) fn crls(
        &self,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsConfigError> {
        self.all(Use::Crl)
    }

    fn all<T: PemObject>(&self, used: Use) -> Result<Vec<T>, TlsConfigError> {
        let bytes = self.read(used)?;
        let found: Vec<T> = T::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|source| self.malformed(used, source))?;
        if found.is_empty() {
            let (place, instead) = (self.place(used), looks_like(&bytes));
            return Err(if used == Use::Crl {
                TlsConfigError::NoCrl { place }
            } else {
                TlsConfigError::NoCertificate { place, instead }
            });
        }
        Ok(found)
    }

    /// Its first private key: PKCS#8, PKCS#1 or SEC1.
    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
        let bytes = self.read(Use::Key)?;
        match PrivateKeyDer::from_pem_slice(&bytes) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) => Err(TlsConfigError::NoKey {
                place: self.place(Use::Key),
                instead: if holds(&bytes, "ENCRYPTED PRIVATE KEY-----") {
                    "it is encrypted, which `openssl pkey` undoes"
                } else {
                    looks_like(&bytes)
                },
            }),
            Err(source) => Err(self.malformed(Use::Key, source)),
        }
    }

    fn read(&self, used: Use) -> Result<Cow<'_, [u8]>, TlsConfigError> {
        match self {
            Self::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::File(path) => match fs::read(path) {
                Ok(bytes) => Ok(Cow::Owned(bytes)),
                Err(source) => Err(TlsConfigError::Unreadable {
                    place: self.place(used),
                    source,
                }),
            },
        }
    }

    fn malformed(&self, used: Use, source: pem::Error) -> TlsConfigError {
        let place = self.place(used);
        TlsConfigError::MalformedPem { place, source }
    }

    pub(crate) fn place(&self, used: Use) -> String {
        let what = used.what();
        match self {
            Self::Bytes(_) => format!("the {what} given"),
            Self::File(path) => format!("the {what} file `{}`", path.display()),
        }
    }

    /// What changes when its file does.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Bytes(_) => None,
            Self::File(path) => Some(Stamp::of(path)),
        }
    }
}

/// A file as it was at a certain time: its time, its length and which file it is (a rename over it, or
/// a link that points elsewhere, changes that).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(Option<SystemTime>, u64, u64)>);

impl Stamp {
    pub(crate) fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().map(|metadata| {
            #[cfg(unix)]
            let number = std::os::unix::fs::MetadataExt::ino(&metadata);
            #[cfg(not(unix))]
            let number = 0;
            (metadata.modified().ok(), metadata.len(), number)
        }))
    }
}

/// What bytes without a PEM of the right kind probably are.
fn looks_like(bytes: &[u8]) -> &'static str {
    if bytes.trim_ascii().is_empty() {
        "it is empty"
    } else if bytes.starts_with(&[0x30]) {
        "it looks like DER, which `openssl x509 -inform der` turns into PEM"
    } else if holds(bytes, "PRIVATE KEY-----") {
        "it holds a private key, which does not belong there"
    } else if holds(bytes, "BEGIN CERTIFICATE-----") {
        "it holds certificates"
    } else {
        "it is something else"
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}
