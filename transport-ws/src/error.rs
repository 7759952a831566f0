//! Why there is no WebSocket connection.

use std::io;
use std::time::SystemTime;

use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use thiserror::Error;
use tokio_tungstenite::tungstenite::Error as Tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::header::{
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
};

use crate::refusal::Refusal;
use crate::request::ConfigError;
use crate::session::or_at;

/// Why a WebSocket dial failed. `E` is the inner dialer's error.
///
/// | variant | failure |
/// |---|---|
/// | `Dial` | the inner error's own |
/// | `Config` | [`Kind::Other`], this endpoint |
/// | `Refused` | see [`Refusal`] |
/// | `Answer` | [`Kind::Upgrade`], this endpoint |
/// | `TooLong` | [`Kind::Protocol`], transient |
/// | `Cut` | [`Kind::Closed`], transient |
/// | `Io` | what the I/O error says, transient |
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WsError<E> {
    /// The inner connection could not be opened.
    #[error(transparent)]
    Dial(E),
    /// The request could not be sent: a mistake in the configuration.
    #[error(transparent)]
    Config(ConfigError),
    /// The server refused the upgrade with an HTTP status.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The server's answer is not an upgrade to WebSocket.
    #[error(transparent)]
    Answer(BadAnswer),
    /// The answer has more than 64 KiB or 124 headers, or comes in very many small pieces.
    #[error("the server's answer to the WebSocket upgrade is too long or too fragmented")]
    TooLong,
    /// The server closed the connection before it had answered.
    #[error("the server closed the connection before it answered the WebSocket upgrade")]
    Cut,
    /// The connection failed before the server had answered.
    #[error("the connection failed during the WebSocket upgrade")]
    Io(#[source] io::Error),
}

impl<E: Classify> Classify for WsError<E> {
    fn failure(&self) -> Failure {
        let here = |kind| Failure::new(kind).at(Phase::Upgrade);
        match self {
            Self::Dial(error) => error.failure(),
            Self::Config(_) => Failure::new(Kind::Other).scope(Scope::Endpoint),
            Self::Refused(refusal) => refusal.failure(),
            Self::Answer(_) => here(Kind::Upgrade).scope(Scope::Endpoint),
            Self::TooLong => here(Kind::Protocol),
            Self::Cut => here(Kind::Closed),
            Self::Io(error) => or_at(Failure::from_io(error), Phase::Upgrade),
        }
    }
}

/// What is wrong with an answer that should have been an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadAnswer {
    /// Something else than an HTTP/1.1 answer.
    #[error("the server did not answer in HTTP/1.1: is it a WebSocket server, does it expect TLS?")]
    NotHttp,
    /// Status 101 without `Upgrade: websocket`.
    #[error("the server's answer lacks `Upgrade: websocket`")]
    NoUpgrade,
    /// Status 101 without `Connection: Upgrade`.
    #[error("the server's answer lacks `Connection: Upgrade`")]
    NoConnection,
    /// `Sec-WebSocket-Accept` is missing or does not belong to our key.
    #[error("the server's `Sec-WebSocket-Accept` does not belong to our key")]
    AcceptKey,
    /// The server chose no subprotocol although some were offered, or one that was not offered.
    #[error("the server chose no subprotocol that was offered to it")]
    Subprotocol,
    /// The server switched an extension on, although none is ever offered.
    #[error("the server switched on an extension that was not asked for")]
    Extension,
}

/// What tungstenite leaves unchecked. Gives the subprotocol that the server chose.
pub(crate) fn check_answer(answer: &Response) -> Result<Option<String>, BadAnswer> {
    let headers = answer.headers();
    let none = |value: &[u8]| value.trim_ascii().is_empty();
    if !headers
        .get_all(SEC_WEBSOCKET_EXTENSIONS)
        .iter()
        .all(|value| none(value.as_bytes()))
    {
        return Err(BadAnswer::Extension);
    }
    let mut chosen = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let first = chosen.next();
    if chosen.next().is_some() {
        return Err(BadAnswer::Subprotocol);
    }
    Ok(first.and_then(|name| name.to_str().ok()).map(str::to_owned))
}

/// What tungstenite's handshake error means: by variant, since it files transport faults under
/// protocol errors.
pub(crate) fn from_handshake<E>(
    error: Tungstenite,
    secrets: impl FnOnce() -> Vec<String>,
) -> WsError<E> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, growing enum")]
    match error {
        Tungstenite::Http(answer) => WsError::Refused(Box::new(Refusal::new(
            &answer,
            &secrets(),
            SystemTime::now(),
        ))),
        Tungstenite::Io(error) => WsError::Io(error),
        Tungstenite::ConnectionClosed | Tungstenite::AlreadyClosed => WsError::Cut,
        Tungstenite::AttackAttempt | Tungstenite::Capacity(_) => WsError::TooLong,
        Tungstenite::Protocol(problem) => match problem {
            ProtocolError::HandshakeIncomplete | ProtocolError::ResetWithoutClosingHandshake => {
                WsError::Cut
            }
            ProtocolError::MissingUpgradeWebSocketHeader => WsError::Answer(BadAnswer::NoUpgrade),
            ProtocolError::MissingConnectionUpgradeHeader => {
                WsError::Answer(BadAnswer::NoConnection)
            }
            ProtocolError::SecWebSocketAcceptKeyMismatch => WsError::Answer(BadAnswer::AcceptKey),
            ProtocolError::SecWebSocketSubProtocolError(_) => {
                WsError::Answer(BadAnswer::Subprotocol)
            }
            _ => WsError::Answer(BadAnswer::NotHttp),
        },
        // A status or a header that is none.
        _ => WsError::Answer(BadAnswer::NotHttp),
    }
}
