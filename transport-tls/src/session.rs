//! What was agreed in a handshake, in words.

use rustls::{ClientConnection, HandshakeKind, ProtocolVersion};

use crate::certificate::CertificateInfo;
use crate::config::TlsVersion;

/// What client and server agreed on, for logs and for people: see
/// [`TlsStream::session`](crate::TlsStream::session).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The version of TLS.
    pub version: Option<TlsVersion>,
    /// The cipher suite, as the standards spell it.
    pub cipher: Option<&'static str>,
    /// The group of the key exchange, as the TLS library spells it: `X25519`, `X25519MLKEM768`. None
    /// in a session of TLS 1.2 that was resumed, which exchanges no keys.
    pub key_exchange: Option<&'static str>,
    /// The application's protocol that the server chose, if it chose one.
    pub alpn: Option<String>,
    /// The certificates that the server showed, its own first. In a resumed session, those of the session
    /// that it resumes.
    pub certificates: Vec<CertificateInfo>,
    /// Whether the handshake was full or resumed an earlier session.
    pub handshake: Option<HandshakeKind>,
}

impl SessionInfo {
    pub(crate) fn of(session: &ClientConnection) -> Self {
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => Some(TlsVersion::V1_2),
            Some(ProtocolVersion::TLSv1_3) => Some(TlsVersion::V1_3),
            _ => None,
        };
        let cipher = session.negotiated_cipher_suite();
        let group = session.negotiated_key_exchange_group();
        let alpn = session.alpn_protocol();
        let shown = session.peer_certificates().unwrap_or_default();
        Self {
            version,
            cipher: cipher.and_then(|suite| suite.suite().as_str()),
            key_exchange: group.and_then(|group| group.name().as_str()),
            alpn: alpn.map(|name| String::from_utf8_lossy(name).into_owned()),
            certificates: shown.iter().filter_map(CertificateInfo::of).collect(),
            handshake: session.handshake_kind(),
        }
    }
}
