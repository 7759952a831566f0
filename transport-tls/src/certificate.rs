//! What can be told of a certificate.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// A certificate in words: whose, from whom, valid when.
///
/// All of it is the peer's claim, and nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateInfo {
    /// Whose it is: the common name of its subject, or the whole subject.
    pub subject: String,
    /// The DNS names and addresses that it is for, at most [`CertificateInfo::MOST_NAMES`].
    pub names: Vec<String>,
    /// Who issued it, likewise.
    pub issuer: String,
    /// From when on it is valid.
    pub not_before: UnixTime,
    /// Until when it is valid.
    pub not_after: UnixTime,
}

/// The longest name that is told, in characters.
const LONGEST_NAME: usize = 100;

impl CertificateInfo {
    /// The most names of a certificate that are told.
    pub const MOST_NAMES: usize = 32;

    /// What this certificate says; nothing if it is broken.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let time = |seconds: i64| {
            UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap_or(0)))
        };
        Some(Self {
            subject: name(parsed.subject()),
            names: names(&parsed),
            issuer: name(parsed.issuer()),
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
        })
    }
}

/// The public key, in DER; nothing if the certificate is broken.
pub(crate) fn public_key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.public_key().raw.to_vec())
}

fn name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next();
    let told = match common.and_then(|name| name.as_str().ok()) {
        Some(common) => common.to_string(),
        None => name.to_string(),
    };
    bounded(&told)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, growing enum")]
    let told = extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(bounded(name)),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        });
    told.take(CertificateInfo::MOST_NAMES).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn bounded(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(LONGEST_NAME)
        .collect()
}

impl fmt::Display for CertificateInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            issuer,
            not_before,
            not_after,
            ..
        } = self;
        let (from, until) = (Day(*not_before), Day(*not_after));
        write!(
            f,
            "of `{subject}`, issued by `{issuer}`, valid from {from} until {until}"
        )
    }
}

/// A day in UTC, as `2026-03-01`.
pub(crate) struct Day(pub(crate) UnixTime);

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
    fn a_broken_certificate_is_nothing() {
        assert_eq!(
            CertificateInfo::of(&CertificateDer::from(vec![0x30, 0x03, 1])),
            None
        );
        assert_eq!(public_key(&CertificateDer::from(Vec::new())), None);
    }

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
