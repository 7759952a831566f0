//! Why an established WebSocket connection ended.

use std::fmt;
use std::io;
use std::time::Duration;

use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use failover_core::heartbeat::Stale;
use thiserror::Error;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as Tungstenite, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Why an established WebSocket connection ended, or a message was not taken.
///
/// A [`WsStream`](crate::WsStream) wraps it in an [`io::Error`] (an error of the connection below
/// is handed on as it is), which [`Failure::from_io`] classifies as this error would be;
/// [`SessionError::in_io`] finds it there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The server closed the connection with a code other than 1000; see [`close_failure`].
    #[error("the server closed the WebSocket connection with code {code}{}", because(.reason))]
    Closed {
        /// The close code.
        code: u16,
        /// The server's words, at most 123 bytes. May be empty.
        reason: String,
    },
    /// The connection ended without a close handshake: something may be missing.
    #[error("the WebSocket connection ended without a close handshake")]
    Cut,
    /// The server broke the protocol or a bound. It was told so with a close frame.
    #[error(transparent)]
    Breach(Breach),
    /// The keepalive gave the connection up: the server is dead, frozen or cut off.
    #[error("the WebSocket connection is stale: {}", stale(*.0))]
    Stale(Stale),
    /// The server did not answer our goodbye within the grace time, or what was written before
    /// could not go out.
    #[error("the server did not answer the WebSocket close within the grace time")]
    Unanswered,
    /// The connection below failed.
    #[error("the connection below the WebSocket failed")]
    Io(#[source] io::Error),
    /// Used after it was closed, or after it had failed.
    #[error("the WebSocket connection is closed")]
    Ended,
    /// The message was not taken: it is larger than `max_message_size`, or the write buffer is
    /// full, in which case a flush makes room. The connection is unharmed and the message is here,
    /// perhaps as a ready `Message::Frame`, to be sent again.
    #[error("a message of {} bytes was not taken: too large, or the write buffer is full", .0.len())]
    Unsent(Box<Message>),
}

impl SessionError {
    /// The error that a received close frame stands for; none for code 1000 and for a frame
    /// without code, which are a clean end.
    #[must_use]
    pub fn from_close(frame: Option<&CloseFrame>) -> Option<Self> {
        let frame = frame?;
        if matches!(frame.code, CloseCode::Normal | CloseCode::Status) {
            return None;
        }
        Some(Self::Closed {
            code: frame.code.into(),
            reason: frame.reason.as_str().to_owned(),
        })
    }

    /// The session error in an I/O error of a [`WsStream`](crate::WsStream), if it is one.
    #[must_use]
    pub fn in_io(error: &io::Error) -> Option<&Self> {
        Some(&error.get_ref()?.downcast_ref::<Told>()?.error)
    }

    /// The code with which the server is told.
    pub(crate) fn reply(&self) -> Option<CloseCode> {
        match self {
            Self::Breach(Breach::TooLarge { .. }) => Some(CloseCode::Size),
            Self::Breach(Breach::Utf8) => Some(CloseCode::Invalid),
            Self::Breach(Breach::Frame(_)) => Some(CloseCode::Protocol),
            Self::Closed { .. }
            | Self::Cut
            | Self::Stale(_)
            | Self::Unanswered
            | Self::Io(_)
            | Self::Ended
            | Self::Unsent(_) => None,
        }
    }
}

/// By variant: tungstenite files transport faults under protocol errors. Its texts may quote
/// received data, so they are not kept.
impl From<Tungstenite> for SessionError {
    fn from(error: Tungstenite) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, growing enum")]
        match error {
            Tungstenite::ConnectionClosed
            | Tungstenite::AlreadyClosed
            | Tungstenite::Protocol(ProtocolError::SendAfterClosing) => Self::Ended,
            Tungstenite::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete,
            ) => Self::Cut,
            Tungstenite::Io(error) => Self::Io(error),
            Tungstenite::WriteBufferFull(message) => Self::Unsent(message),
            Tungstenite::Utf8(_) => Self::Breach(Breach::Utf8),
            Tungstenite::Protocol(problem) => Self::Breach(Breach::Frame(problem)),
            Tungstenite::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
                Self::Breach(Breach::TooLarge { size, max_size })
            }
            // Errors of a handshake: not possible here.
            _ => Self::Io(io::Error::other(
                "unexpected error of the WebSocket library",
            )),
        }
    }
}

impl From<SessionError> for io::Error {
    fn from(error: SessionError) -> Self {
        let kind = match error {
            SessionError::Io(error) => return error,
            SessionError::Closed { .. } => io::ErrorKind::ConnectionAborted,
            SessionError::Cut => io::ErrorKind::UnexpectedEof,
            SessionError::Breach(_) => io::ErrorKind::InvalidData,
            SessionError::Stale(_) | SessionError::Unanswered => io::ErrorKind::TimedOut,
            SessionError::Ended => io::ErrorKind::NotConnected,
            SessionError::Unsent(_) => io::ErrorKind::InvalidInput,
        };
        let failure = error.failure();
        Self::new(kind, Told { error, failure })
    }
}

/// A session error on its way through an I/O error: what it stands for ends its chain.
#[derive(Debug)]
struct Told {
    error: SessionError,
    failure: Failure,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)?;
        match std::error::Error::source(&self.error) {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Told {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.failure)
    }
}

impl Classify for SessionError {
    fn failure(&self) -> Failure {
        let failure = match self {
            Self::Closed { code, .. } => close_failure(*code),
            Self::Cut | Self::Ended => Failure::new(Kind::Closed),
            Self::Breach(_) => Failure::new(Kind::Protocol),
            Self::Stale(_) => Failure::new(Kind::Stale),
            Self::Unanswered => Failure::new(Kind::Timeout),
            Self::Io(error) => Failure::from_io(error),
            Self::Unsent(_) => Failure::new(Kind::Other),
        };
        or_at(failure, Phase::Session)
    }
}

/// How a server broke the protocol or a bound of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Breach {
    /// A message or frame beyond the bound.
    #[error("the server sent a message of {size} bytes or more, at most {max_size} are allowed")]
    TooLarge {
        /// How large it was when the bound was found broken.
        size: usize,
        /// The bound.
        max_size: usize,
    },
    /// A text message that is not UTF-8.
    #[error("the server sent a text message that is not UTF-8")]
    Utf8,
    /// A frame that may not be: bad opcode, masked, fragmented control frame, and so on.
    #[error("the server sent a frame that breaks the WebSocket protocol")]
    Frame(#[source] ProtocolError),
}

/// The failure that a received close code stands for. The code is the failure's code.
///
/// | code | failure |
/// |---|---|
/// | 1000, 1005 (none) | [`Kind::Closed`], transient |
/// | 1001 going away, 1012 restart | [`Kind::Draining`]: leave at once, others are fine |
/// | 1013 try again later | the same, and not before [`TRY_AGAIN_PAUSE`] |
/// | 1008 policy, 3000 unauthorized, 3003 forbidden | [`Kind::Auth`], this endpoint |
/// | 1002, 1003, 1007, 1009, 1010 | [`Kind::Protocol`], transient |
/// | 3008 timeout | [`Kind::Timeout`], transient |
/// | 1011 and all others | [`Kind::Other`], transient |
///
/// ```
/// use failover_core::failure::Kind;
/// use transport_ws::{TRY_AGAIN_PAUSE, close_failure};
///
/// assert_eq!(close_failure(1012).kind, Kind::Draining);
/// assert_eq!(close_failure(1013).retry_after, Some(TRY_AGAIN_PAUSE));
/// ```
#[must_use]
pub fn close_failure(code: u16) -> Failure {
    let failure = match code {
        1000 | 1005 => Failure::new(Kind::Closed),
        1001 | 1012 => Failure::new(Kind::Draining),
        1013 => Failure::new(Kind::Draining).retry_after(TRY_AGAIN_PAUSE),
        1008 | 3000 | 3003 => Failure::new(Kind::Auth).scope(Scope::Endpoint),
        1002 | 1003 | 1007 | 1009 | 1010 => Failure::new(Kind::Protocol),
        3008 => Failure::new(Kind::Timeout),
        _ => Failure::new(Kind::Other),
    };
    failure.at(Phase::Session).code(u32::from(code))
}

/// How long an endpoint is left alone after close code 1013 (try again later), which has no field
/// for a time: 5 s, the lower end of what the registry of close codes advises for a restart.
pub const TRY_AGAIN_PAUSE: Duration = Duration::from_secs(5);

/// In this phase, unless a layer below said a better one.
pub(crate) fn or_at(failure: Failure, phase: Phase) -> Failure {
    match failure.phase {
        Some(_) => failure,
        None => failure.at(phase),
    }
}

fn stale(why: Stale) -> &'static str {
    match why {
        Stale::Silent => "nothing was received, and pings were not answered",
        Stale::Stuck => "a write did not end within its deadline",
        _ => "it was given up",
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() {
        return String::new();
    }
    format!(": {}", reason.replace(|c: char| c.is_control(), " "))
}
