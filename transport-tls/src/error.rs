//! Why a TLS dial failed.

use std::fmt;
use std::io;

use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage};
use thiserror::Error;

use crate::name::ServerNameError;

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
    /// The server answers in something else than TLS.
    #[error("`{server}` does not speak TLS: is it a plain-text port?")]
    NotTls {
        /// The server's host and port.
        server: String,
        /// What the TLS library made of it.
        source: rustls::Error,
    },
    /// The server's certificate was refused.
    #[error("the certificate of `{server}` was refused: {check}")]
    Certificate {
        /// The server's host and port.
        server: String,
        /// The check that failed.
        check: CertificateCheck,
        /// The TLS library's own words.
        source: rustls::Error,
    },
    /// The two did not agree: version, cipher, ALPN, a client certificate.
    #[error("no TLS session with `{server}`")]
    Handshake {
        /// The server's host and port.
        server: String,
        /// What was not agreed.
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
    /// None of the above: see the source.
    Other,
}

impl<E> TlsError<E> {
    /// What the error of a handshake with this server stands for.
    pub(crate) fn handshake(server: String, error: io::Error) -> Self {
        let source = match error.downcast::<rustls::Error>() {
            Ok(source) => source,
            Err(source) => return Self::Ended { server, source },
        };
        if is_not_tls(&source) {
            return Self::NotTls { server, source };
        }
        match CertificateCheck::of(&source) {
            Some(check) => Self::Certificate {
                server,
                check,
                source,
            },
            None => Self::Handshake { server, source },
        }
    }
}

impl<E: Classify> Classify for TlsError<E> {
    fn failure(&self) -> Failure {
        match self {
            Self::Inner(error) => error.failure(),
            Self::Name(_) => Failure::new(Kind::Other).scope(Scope::Endpoint),
            Self::NotTls { .. } | Self::Certificate { .. } => tls(Scope::Endpoint),
            Self::Handshake { source, .. } => tls(scope(source)),
            Self::Ended { source, .. } => Failure::from_io(source).at(Phase::Tls),
        }
    }
}

fn tls(scope: Scope) -> Failure {
    Failure::new(Kind::Tls).scope(scope).at(Phase::Tls)
}

/// A server in trouble says so with an alert and may be well again at the next try.
fn scope(error: &rustls::Error) -> Scope {
    let in_trouble = matches!(
        error,
        rustls::Error::AlertReceived(
            AlertDescription::InternalError | AlertDescription::UserCanceled
        )
    );
    if in_trouble {
        Scope::Transient
    } else {
        Scope::Endpoint
    }
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
            _ => Self::Other,
        })
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
            Self::Other => f.write_str("it is not acceptable"),
        }
    }
}

/// `a.example` out of `DnsName("a.example")`, as the TLS library spells it.
fn plain(name: &str) -> String {
    name.split('"').nth(1).unwrap_or(name).to_string()
}

/// A day in UTC, as `2026-03-01`.
struct Day(UnixTime);

impl fmt::Display for Day {
    /// Howard Hinnant's `civil_from_days`, for days after 1970 only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.as_secs() / 86_400 + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        let year = year + era * 400 + u64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_are_spelt_as_the_calendar_has_them() {
        let day = |secs| Day(UnixTime::since_unix_epoch(Duration::from_secs(secs))).to_string();
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(951_782_400), "2000-02-29");
        assert_eq!(day(1_709_251_199), "2024-02-29");
        assert_eq!(day(1_709_251_200), "2024-03-01");
        assert_eq!(day(4_102_444_799), "2099-12-31");
    }
}
