//! What a client and a server did not agree on, in words.

use std::fmt;

use rustls::{AlertDescription, Error, PeerIncompatible, PeerMisbehaved};

/// What client and server did not agree on in a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disagreement {
    /// They have no version of TLS in common.
    Version,
    /// They have no cipher suite, no key exchange or no kind of signature in common.
    Cipher,
    /// The server speaks none of the protocols that were offered by ALPN.
    Alpn,
    /// The server has nothing under the name that it was asked for (SNI).
    ServerName,
    /// The server itself failed, and may be well again at the next dial.
    Trouble,
    /// Something else: see the error's source.
    Other,
}

impl Disagreement {
    pub(crate) fn of(error: &Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, growing enum")]
        match error {
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            Error::PeerIncompatible(incompatible) => Self::of_incompatible(incompatible),
            Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol) => {
                Self::Alpn
            }
            _ => Self::Other,
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, growing enum")]
        match alert {
            AlertDescription::ProtocolVersion => Self::Version,
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
                Self::Cipher
            }
            AlertDescription::NoApplicationProtocol => Self::Alpn,
            AlertDescription::UnrecognisedName => Self::ServerName,
            AlertDescription::InternalError | AlertDescription::UserCanceled => Self::Trouble,
            _ => Self::Other,
        }
    }

    fn of_incompatible(incompatible: &PeerIncompatible) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, growing enum")]
        match incompatible {
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => Self::Version,
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon => Self::Cipher,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "no version of TLS in common",
            Self::Cipher => "no cipher, key exchange or signature in common",
            Self::Alpn => "it speaks none of the protocols offered by ALPN",
            Self::ServerName => "it has nothing under this name (SNI)",
            Self::Trouble => "it has trouble of its own",
            Self::Other => "the two do not fit together",
        })
    }
}
