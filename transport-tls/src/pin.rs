//! Pinned public keys.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use thiserror::Error;

/// The SHA-256 of a server's public key (of its certificate's `SubjectPublicKeyInfo`), as
/// `sha256/BASE64`: it stays the same when the certificate is renewed with the same key.
///
/// `openssl x509 -in server.pem -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst
/// -sha256 -binary | base64` prints it.
///
/// ```
/// use transport_tls::SpkiPin;
///
/// let pin: SpkiPin = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse()?;
/// assert_eq!(pin.to_string(), "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
/// assert!("sha256/AAEC".parse::<SpkiPin>().is_err());
/// # Ok::<(), transport_tls::SpkiPinError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpkiPin([u8; 32]);

impl SpkiPin {
    /// The pin with this digest.
    #[must_use]
    pub const fn from_digest(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }
}

impl FromStr for SpkiPin {
    type Err = SpkiPinError;

    fn from_str(text: &str) -> Result<Self, SpkiPinError> {
        let encoded = text
            .strip_prefix("sha256//")
            .or_else(|| text.strip_prefix("sha256/"))
            .ok_or(SpkiPinError)?;
        let digest = BASE64
            .decode(encoded.as_bytes())
            .map_err(|_| SpkiPinError)?;
        digest.try_into().map(Self).map_err(|_| SpkiPinError)
    }
}

impl fmt::Display for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", BASE64.encode(&self.0))
    }
}

impl fmt::Debug for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a pin is `sha256/` and 32 bytes in Base64")]
pub struct SpkiPinError;

/// The public key is none of those that are pinned; it is this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("its public key {found} is not pinned")]
pub(crate) struct NotPinned {
    pub(crate) found: SpkiPin,
}
