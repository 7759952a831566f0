//! Why there is no WebSocket connection.

use std::io;
use std::time::SystemTime;

use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use thiserror::Error;

use crate::ask::AskError;
use crate::handshake::Trouble;
use crate::redirect::NotFollowed;
use crate::refusal::Refusal;
use crate::request::ConfigError;
use crate::session::or_at;

/// Why a WebSocket dial failed. `E` is the inner dialer's error.
///
/// | variant | failure |
/// |---|---|
/// | `Dial` | the inner error's own |
/// | `Ask` | what the function's error says |
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
    /// The headers that were asked for could not be had.
    #[error("the headers for the WebSocket upgrade could not be had")]
    Ask(#[source] AskError),
    /// The request could not be sent: a mistake in the configuration.
    #[error(transparent)]
    Config(ConfigError),
    /// The server refused the upgrade with an HTTP status.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The server's answer is not an upgrade to WebSocket.
    #[error(transparent)]
    Answer(BadAnswer),
    /// The answer is longer than `max_answer_size`, or has more than 124 headers.
    #[error("the server's answer to the WebSocket upgrade is too long")]
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
            Self::Ask(error) => or_at(error.failure(), Phase::Upgrade),
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

/// What a failed upgrade is, as an error of the dial.
pub(crate) fn of_upgrade<E>(
    trouble: Trouble,
    not_followed: Option<NotFollowed>,
    secrets: &[String],
) -> WsError<E> {
    match trouble {
        Trouble::Refused(head, body) => {
            let refusal = Refusal::new(&head, &body, secrets, SystemTime::now());
            WsError::Refused(Box::new(refusal.not_followed(not_followed)))
        }
        Trouble::Answer(problem) => WsError::Answer(problem),
        Trouble::TooLong => WsError::TooLong,
        Trouble::Cut => WsError::Cut,
        Trouble::Io(error) => WsError::Io(error),
    }
}
