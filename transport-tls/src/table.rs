//! The TLS table of a deployment's file.

use std::path::{Path, PathBuf};

use failover_core::config::{Keyed, Word, Worded};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::client::TlsClient;
use crate::config::{Roots, TlsConfig, TlsConfigError, TlsVersion};
use crate::identity::Identity;
use crate::name::{Alpn, ServerName, ServerNameError};
use crate::pem::Pem;
use crate::pin::{SpkiPin, SpkiPinError};

/// What a deployment's file says about TLS: for all endpoints, or for one of them. Every key may be
/// left out, unknown ones are refused. Files hold PEM; where a path is relative, it is so to the
/// program's working directory.
///
/// | key | value |
/// |---|---|
/// | `roots` | `"platform"`: what the operating system trusts; `"webpki"`: Mozilla's, compiled in (feature `webpki-roots`) |
/// | `ca` | a file of authorities: these alone, or beside `roots` if that is written, too |
/// | `certificate`, `key` | the files of the client's certificate and key; both, or neither |
/// | `server_name` | the name in the server's certificate, where it is not the URL's host |
/// | `alpn` | protocols to offer, most wanted first |
/// | `oldest_version` | `"1.2"` or `"1.3"` |
/// | `pins` | public keys, as `sha256/…`: the server must have one of them |
/// | `revocation_lists` | a file; not with the platform's roots |
///
/// ```
/// use transport_tls::{TlsConfig, TlsTable};
///
/// let table: TlsTable = serde_json::from_str(
///     r#"{"ca": "/etc/broker/ca.pem", "oldest_version": "1.3", "alpn": ["mqtt"]}"#,
/// )?;
/// let config = table.config(TlsConfig::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(remote = "Self", default)]
#[non_exhaustive]
pub struct TlsTable {
    /// The common authorities.
    pub roots: Option<Worded<RootsName>>,
    /// A file of authorities of one's own.
    pub ca: Option<PathBuf>,
    /// The file of the client's certificate, and those that lead to its authority.
    pub certificate: Option<PathBuf>,
    /// The file of the client's key.
    pub key: Option<PathBuf>,
    /// The name in the server's certificate.
    pub server_name: Option<String>,
    /// The protocols to offer.
    pub alpn: Option<Vec<String>>,
    /// The oldest version to speak.
    pub oldest_version: Option<Worded<TlsVersion>>,
    /// The public keys that a server may have.
    pub pins: Option<Vec<String>>,
    /// A file of revocation lists.
    pub revocation_lists: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for TlsTable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::deserialize(Keyed(from))
    }
}

/// Authorities that need no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootsName {
    /// Those of the operating system.
    Platform,
    /// Mozilla's, compiled in.
    WebPki,
}

impl Word for RootsName {
    const WORDS: &'static [(&'static str, Self)] =
        &[("platform", Self::Platform), ("webpki", Self::WebPki)];
}

impl Word for TlsVersion {
    const WORDS: &'static [(&'static str, Self)] = &[("1.2", Self::V1_2), ("1.3", Self::V1_3)];
}

/// Why a table cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TableError {
    /// The certificate without the key, or the key without the certificate.
    #[error("tls.{key}: there is no `{missing}` beside it: write both (they may be one file)")]
    Half {
        /// The key that is there.
        key: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// This program does not have Mozilla's authorities.
    #[error(
        "tls.roots: this program was built without Mozilla's (feature `webpki-roots`): write \"platform\", or `ca`"
    )]
    NoWebPki,
    /// It cannot be the name in a certificate.
    #[error("tls.server_name: {0}")]
    ServerName(#[from] ServerNameError),
    /// It cannot be the name of a protocol.
    #[error("tls.alpn: {0}")]
    Alpn(#[source] TlsConfigError),
    /// There is no pin, so that no server would do.
    #[error("tls.pins: the list is empty: write at least one, or leave the key out")]
    NoPins,
    /// It is no pin.
    #[error("tls.pins: `{pin}`: {source}")]
    Pin {
        /// What stands there.
        pin: String,
        /// What should.
        source: SpkiPinError,
    },
    /// The platform's verifier takes no revocation lists.
    #[error(
        "tls.revocation_lists: the platform's roots have rules of their own: write `ca` without `roots`, or `roots = \"webpki\"`"
    )]
    ListsOfThePlatform,
    /// The files cannot be used, or the values do not go together.
    #[error("tls: {0}")]
    Config(#[from] TlsConfigError),
}

impl TlsTable {
    /// This configuration with what the table says otherwise. Files are not read yet.
    ///
    /// # Errors
    /// The first key that makes no sense.
    pub fn config(&self, base: TlsConfig) -> Result<TlsConfig, TableError> {
        let mut config = base;
        if let Some(roots) = self.trusted()? {
            config = config.roots(roots);
        }
        if let Some(identity) = self.identity()? {
            config = config.identity(identity);
        }
        if let Some(Alpn(protocols)) = self.alpn()? {
            config = config.alpn(protocols);
        }
        if let Some(Worded(oldest)) = self.oldest_version {
            config = config.oldest_version(oldest);
        }
        if let Some(texts) = &self.pins {
            config = config.pins(pins(texts)?);
        }
        if let Some(file) = &self.revocation_lists {
            config = config.revocation_lists(pem(file));
        }
        Ok(config)
    }

    /// A client of [`config`](Self::config). The files are read now.
    ///
    /// # Errors
    /// As there, and when a file cannot be read or does not hold what it should.
    pub fn client(&self, base: TlsConfig) -> Result<TlsClient, TableError> {
        match self.config(base)?.client() {
            Ok(client) => Ok(client),
            Err(TlsConfigError::CrlOfThePlatform) => Err(TableError::ListsOfThePlatform),
            Err(error) => Err(error.into()),
        }
    }

    /// The name in the server's certificate, if the table has one: an option of an endpoint.
    ///
    /// # Errors
    /// When it can be no such name.
    pub fn server_name(&self) -> Result<Option<ServerName>, TableError> {
        Ok(self.server_name.as_deref().map(str::parse).transpose()?)
    }

    /// The protocols to offer, if the table has some: an option of an endpoint.
    ///
    /// # Errors
    /// When one of them can be no protocol's name.
    pub fn alpn(&self) -> Result<Option<Alpn>, TableError> {
        let alpn = self.alpn.as_ref().map(|names| Alpn::new(names.clone()));
        alpn.transpose().map_err(TableError::Alpn)
    }

    /// Whether an endpoint with this table needs a [`TlsClient`] of its own; a server's name and
    /// protocols are options beside it.
    #[must_use]
    pub fn needs_client(&self) -> bool {
        let beside = Self {
            server_name: self.server_name.clone(),
            alpn: self.alpn.clone(),
            ..Self::default()
        };
        *self != beside
    }

    fn trusted(&self) -> Result<Option<Roots>, TableError> {
        let own = self.ca.as_deref().map(pem);
        Ok(match (self.roots, own) {
            (None, None) => None,
            (None, Some(own)) => Some(Roots::Only(own)),
            (Some(Worded(RootsName::Platform)), None) => Some(Roots::Platform),
            (Some(Worded(RootsName::Platform)), Some(own)) => Some(Roots::PlatformAnd(own)),
            (Some(Worded(RootsName::WebPki)), own) => Some(webpki(own)?),
        })
    }

    fn identity(&self) -> Result<Option<Identity>, TableError> {
        let half = |key, missing| Err(TableError::Half { key, missing });
        match (&self.certificate, &self.key) {
            (None, None) => Ok(None),
            (Some(chain), Some(key)) => Ok(Some(Identity::new(pem(chain), pem(key)))),
            (Some(_), None) => half("certificate", "key"),
            (None, Some(_)) => half("key", "certificate"),
        }
    }
}

#[cfg(feature = "webpki-roots")]
fn webpki(own: Option<Pem>) -> Result<Roots, TableError> {
    Ok(own.map_or(Roots::WebPki, Roots::WebPkiAnd))
}

#[cfg(not(feature = "webpki-roots"))]
fn webpki(_: Option<Pem>) -> Result<Roots, TableError> {
    Err(TableError::NoWebPki)
}

fn pins(texts: &[String]) -> Result<Vec<SpkiPin>, TableError> {
    // For a configuration no pins mean that any key will do.
    if texts.is_empty() {
        return Err(TableError::NoPins);
    }
    let pin = |text: &String| {
        text.parse().map_err(|source| TableError::Pin {
            pin: text.clone(),
            source,
        })
    };
    texts.iter().map(pin).collect()
}

fn pem(file: &Path) -> Pem {
    Pem::File(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn table(text: &str) -> TlsTable {
        serde_json::from_str(text).unwrap()
    }

    fn config(text: &str) -> TlsConfig {
        table(text).config(TlsConfig::new()).unwrap()
    }

    #[test]
    fn each_key_reaches_the_configuration_and_beats_the_base() {
        let file = |name: &str| Pem::File(name.into());
        let all = table(&format!(
            r#"{{"ca": "ca", "certificate": "cert", "key": "key", "alpn": ["mqtt"],
                "oldest_version": "1.3", "pins": ["{PIN}"], "revocation_lists": "crl",
                "server_name": "broker.example"}}"#
        ));
        let expected = TlsConfig::new()
            .roots(Roots::Only(file("ca")))
            .identity(Identity::new(file("cert"), file("key")))
            .alpn(["mqtt"])
            .oldest_version(TlsVersion::V1_3)
            .pins([PIN.parse::<SpkiPin>().unwrap()])
            .revocation_lists(file("crl"));
        assert_eq!(all.config(TlsConfig::new()).unwrap(), expected);
        assert_eq!(
            TlsTable::default().config(expected.clone()).unwrap(),
            expected
        );
        let back = table(r#"{"roots": "platform", "oldest_version": 1.2}"#);
        let base = TlsConfig::new().roots(Roots::Only(file("ca")));
        let base = base.oldest_version(TlsVersion::V1_3);
        assert_eq!(back.config(base).unwrap(), TlsConfig::new());

        let name = all.server_name().unwrap().unwrap();
        assert_eq!(name, "broker.example".parse().unwrap());
        assert_eq!(all.alpn().unwrap(), Some(Alpn::new(["mqtt"]).unwrap()));
        assert!(all.needs_client());
        let beside = table(r#"{"server_name": "a", "alpn": ["b"]}"#);
        assert!(!beside.needs_client());
    }

    #[test]
    fn authorities_are_the_file_s_alone_or_beside_those_that_are_named() {
        let ca = Pem::File("ca".into());
        let own = |roots| TlsConfig::new().roots(roots);
        assert_eq!(config(r#"{"ca": "ca"}"#), own(Roots::Only(ca.clone())));
        assert_eq!(
            config(r#"{"ca": "ca", "roots": "platform"}"#),
            own(Roots::PlatformAnd(ca.clone()))
        );
        #[cfg(feature = "webpki-roots")]
        assert_eq!(
            config(r#"{"ca": "ca", "roots": "webpki"}"#),
            own(Roots::WebPkiAnd(ca))
        );
    }

    #[test]
    fn mistakes_are_named_with_what_would_be_right() {
        for (text, told) in [
            (
                r#"{"certificate": "a"}"#,
                "tls.certificate: there is no `key`",
            ),
            (r#"{"key": "a"}"#, "tls.key: there is no `certificate`"),
            (r#"{"pins": []}"#, "tls.pins: the list is empty"),
            (
                r#"{"pins": ["sha1/x"]}"#,
                "tls.pins: `sha1/x`: a pin is `sha256/`",
            ),
            (r#"{"alpn": [""]}"#, "tls.alpn: "),
            (r#"{"server_name": "a b"}"#, "tls.server_name: `a b`"),
            (
                r#"{"ca": "/no/such/file"}"#,
                "tls: cannot read the CA file `/no/such/file`",
            ),
        ] {
            let table = table(text);
            let made = table.client(TlsConfig::new()).map(drop);
            let error = made.and(table.server_name().map(drop)).unwrap_err();
            assert!(error.to_string().starts_with(told), "{text}: {error}");
        }
        #[cfg(not(feature = "webpki-roots"))]
        assert!(matches!(
            table(r#"{"roots": "webpki"}"#).client(TlsConfig::new()),
            Err(TableError::NoWebPki)
        ));
        for (text, told) in [
            (r#"{"cert": "a"}"#, "`certificate`"),
            (r#"{"roots": "platfrom"}"#, "did you mean `platform`?"),
            (r#"{"oldest_version": "1.1"}"#, "`1.2` or `1.3`"),
        ] {
            let error = serde_json::from_str::<TlsTable>(text).unwrap_err();
            assert!(error.to_string().contains(told), "{text}: {error}");
        }
    }
}
