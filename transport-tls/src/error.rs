//! Why a TLS dial failed.

use std::fmt;
use std::io;
use std::sync::Arc;

use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage, OtherError};
use thiserror::Error;

use crate::certificate::{CertificateInfo, Day};
use crate::config::TlsConfigError;
use crate::disagreement::Disagreement;
use crate::name::ServerNameError;
use crate::pin::NotPinned;

/// Why a dial over TLS failed; `E` is the error of the layer below.
///
/// What is wrong with the server as such (its certificate, its versions, no TLS at all) concerns
/// the endpoint and stays wrong; a connection that ends in the handshake is transient.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError<E> {
    /// The layer below failed: its own error, with its own classification.
    #[error(transparent)]
    Inner(E),
    /// The URL's host cannot be the name in a certificate.
    #[error("the server needs a name that a certificate can carry")]
    Name(#[source] ServerNameError),
    /// The configuration cannot be used: a file or the platform's store.
    #[error("the TLS configuration cannot be used")]
    Config(#[source] Arc<TlsConfigError>),
    /// The server answers in something else than TLS.
    #[error("`{server}` does not speak TLS: is it a plain-text port?")]
    NotTls {
        /// The server's host and port.
        server: String,
        /// What the TLS library made of it.
        source: rustls::Error,
    },
    /// The server's certificate was refused.
    #[error("the certificate of `{server}` was refused: {check}{}", told(certificate.as_deref()))]
    Certificate {
        /// The server's host and port.
        server: String,
        /// The check that failed.
        check: CertificateCheck,
        /// The certificate that failed it, as far as it is known.
        certificate: Option<Box<CertificateInfo>>,
        /// The TLS library's own words.
        source: rustls::Error,
    },
    /// The server refused the client's certificate, or the lack of one.
    #[error("`{server}` {refusal}")]
    ClientCertificate {
        /// The server's host and port.
        server: String,
        /// What it said of it.
        refusal: ClientRefusal,
        /// The TLS library's own words.
        source: rustls::Error,
    },
    /// The two did not agree: version, cipher, ALPN.
    #[error("no TLS session with `{server}`: {disagreement}")]
    Handshake {
        /// The server's host and port.
        server: String,
        /// What was not agreed.
        disagreement: Disagreement,
        /// The TLS library's own words.
        source: rustls::Error,
    },
    /// The connection ended in the handshake.
    #[error("the connection to `{server}` ended in the TLS handshake")]
    Ended {
        /// The server's host and port.
        server: String,
        /// How it ended.
        source: io::Error,
    },
}

fn told(certificate: Option<&CertificateInfo>) -> String {
    certificate.map_or_else(String::new, |certificate| format!(" ({certificate})"))
}

/// What a server said of a client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientRefusal {
    /// It demands one, and none was shown.
    Missing,
    /// It does not know the authority.
    UnknownAuthority,
    /// It is valid no more.
    Expired,
    /// It is revoked.
    Revoked,
    /// It is refused for another reason.
    Refused,
    /// Access is denied: to this certificate, or because the server has none of its own for this name.
    Denied,
}

impl ClientRefusal {
    /// What this alert says of a client's certificate, if it does.
    pub(crate) fn of(error: &rustls::Error) -> Option<Self> {
        let rustls::Error::AlertReceived(alert) = error else {
            return None;
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, growing enum")]
        match alert {
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
                Some(Self::Missing)
            }
            AlertDescription::UnknownCA => Some(Self::UnknownAuthority),
            AlertDescription::CertificateExpired => Some(Self::Expired),
            AlertDescription::CertificateRevoked => Some(Self::Revoked),
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown => Some(Self::Refused),
            AlertDescription::AccessDenied => Some(Self::Denied),
            _ => None,
        }
    }
}

impl fmt::Display for ClientRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "demands a client certificate, and none was shown",
            Self::UnknownAuthority => "does not know the authority of the client's certificate",
            Self::Expired => "says that the client's certificate has expired",
            Self::Revoked => "says that the client's certificate is revoked",
            Self::Refused => "refused the client's certificate",
            Self::Denied => {
                "denies access: to the client's certificate, or it has none of its own for this name"
            }
        })
    }
}

/// The check of a certificate that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateCheck {
    /// It is valid no more; since then.
    Expired(Option<UnixTime>),
    /// It is not valid yet; from then on.
    NotYetValid(Option<UnixTime>),
    /// No trusted authority has signed it. (Also self-signed certificates.)
    UnknownIssuer,
    /// It is for other names: these.
    Name(Vec<String>),
    /// Its authority has revoked it, or does not say.
    Revoked,
    /// It is not for servers.
    Purpose,
    /// Its signature is wrong: broken, or by another authority of the same name.
    Signature,
    /// Its public key is none of the pinned ones.
    Pin,
    /// None of the above: see the source.
    Other,
}

impl<E> TlsError<E> {
    /// What the error of a handshake with this server stands for.
    /// `seen` are the certificates that it showed, its own first.
    pub(crate) fn handshake(server: String, error: io::Error, seen: Vec<CertificateInfo>) -> Self {
        let source = match error.downcast::<rustls::Error>() {
            Ok(source) => source,
            Err(source) => return Self::Ended { server, source },
        };
        if is_not_tls(&source) {
            return Self::NotTls { server, source };
        }
        if let Some(refusal) = ClientRefusal::of(&source) {
            return Self::ClientCertificate {
                server,
                refusal,
                source,
            };
        }
        match CertificateCheck::of(&source) {
            Some(check) => Self::Certificate {
                server,
                certificate: check.culprit(seen).map(Box::new),
                check,
                source,
            },
            None => Self::Handshake {
                server,
                disagreement: Disagreement::of(&source),
                source,
            },
        }
    }
}

impl<E> TlsError<E> {
    /// The same, where the server had asked for a certificate and was shown none.
    pub(crate) fn of_lack(self) -> Self {
        match self {
            Self::ClientCertificate { server, source, .. }
            | Self::Handshake {
                server,
                disagreement: Disagreement::Cipher,
                source,
            } => Self::ClientCertificate {
                server,
                refusal: ClientRefusal::Missing,
                source,
            },
            other @ (Self::Inner(_)
            | Self::Name(_)
            | Self::Config(_)
            | Self::NotTls { .. }
            | Self::Certificate { .. }
            | Self::Handshake { .. }
            | Self::Ended { .. }) => other,
        }
    }
}

impl<E: Classify> Classify for TlsError<E> {
    fn failure(&self) -> Failure {
        match self {
            Self::Inner(error) => error.failure(),
            Self::Name(_) => Failure::new(Kind::Other).scope(Scope::Endpoint),
            // The next dial reads again; another endpoint's dial would find the same.
            Self::Config(_) => tls(Scope::Transient),
            Self::NotTls { .. } | Self::Certificate { .. } | Self::ClientCertificate { .. } => {
                tls(Scope::Endpoint)
            }
            Self::Handshake {
                disagreement: Disagreement::Trouble,
                ..
            } => tls(Scope::Transient),
            Self::Handshake { .. } => tls(Scope::Endpoint),
            Self::Ended { source, .. } => Failure::from_io(source).at(Phase::Tls),
        }
    }
}

fn tls(scope: Scope) -> Failure {
    Failure::new(Kind::Tls).scope(scope).at(Phase::Tls)
}

/// Whether the peer's bytes were no TLS records.
fn is_not_tls(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion
        )
    )
}

impl CertificateCheck {
    fn of(error: &rustls::Error) -> Option<Self> {
        let rustls::Error::InvalidCertificate(error) = error else {
            return None;
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, growing enum")]
        Some(match error {
            CertificateError::Expired => Self::Expired(None),
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired(Some(*not_after)),
            CertificateError::NotValidYet => Self::NotYetValid(None),
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid(Some(*not_before))
            }
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::NotValidForName => Self::Name(Vec::new()),
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::Name(presented.iter().map(|name| plain(name)).collect())
            }
            CertificateError::Revoked | CertificateError::UnknownRevocationStatus => Self::Revoked,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Purpose
            }
            CertificateError::BadSignature => Self::Signature,
            CertificateError::Other(OtherError(other)) if other.is::<NotPinned>() => Self::Pin,
            _ => Self::Other,
        })
    }

    /// The certificate that failed: by its dates, or else the server's own.
    fn culprit(&self, seen: Vec<CertificateInfo>) -> Option<CertificateInfo> {
        let at = seen.iter().position(|one| match self {
            Self::Expired(Some(end)) => one.not_after == *end,
            Self::NotYetValid(Some(start)) => one.not_before == *start,
            Self::Expired(None)
            | Self::NotYetValid(None)
            | Self::UnknownIssuer
            | Self::Name(_)
            | Self::Revoked
            | Self::Purpose
            | Self::Signature
            | Self::Pin
            | Self::Other => true,
        });
        let at = at.unwrap_or(0);
        seen.into_iter().nth(at)
    }
}

impl fmt::Display for CertificateCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(None) => f.write_str("it has expired"),
            Self::Expired(Some(end)) => write!(f, "it expired on {}", Day(*end)),
            Self::NotYetValid(None) => f.write_str("it is not valid yet"),
            Self::NotYetValid(Some(start)) => write!(f, "it is not valid before {}", Day(*start)),
            Self::UnknownIssuer => f.write_str("no trusted authority has signed it"),
            Self::Name(names) if names.is_empty() => f.write_str("it is for another name"),
            Self::Name(names) => write!(f, "it is for other names: {}", names.join(", ")),
            Self::Revoked => f.write_str("it is revoked, or its authority does not say"),
            Self::Purpose => f.write_str("it is not for servers"),
            Self::Signature => {
                f.write_str("its signature is wrong (is the authority another of the same name?)")
            }
            Self::Pin => f.write_str("its public key is not pinned"),
            Self::Other => f.write_str("it is not acceptable"),
        }
    }
}

/// `a.example` out of `DnsName("a.example")`, as the TLS library spells it.
fn plain(name: &str) -> String {
    name.split('"').nth(1).unwrap_or(name).to_string()
}
