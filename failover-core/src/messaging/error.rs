//! How a link fails: one connection of it, one request, and for good.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::drive::GiveUp;
use crate::failure::{Classify, Failure, Kind, Phase, Scope};
use crate::heartbeat::Stale;
use crate::link::{Dropped, MessageId, Refused};

/// Why a connection of a link was lost: the error that comes with the connector's event.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError<E> {
    /// The transport failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The peer ended it.
    #[error("the peer closed the connection")]
    Ended,
    /// The heartbeat gave it up.
    #[error("{}", said(*.0))]
    Stale(Stale),
    /// No frame was whole within the bound.
    #[error("the peer sent a frame of more than {most} bytes, more are not taken in")]
    FrameTooLarge {
        /// The bound in bytes.
        most: usize,
    },
    /// An answer or a confirmation was overdue, and the policy takes that as a fault.
    #[error("nothing came in time in answer to message {id}")]
    Late {
        /// The message.
        id: MessageId,
    },
    /// The session's own error.
    #[error(transparent)]
    Protocol(E),
}

fn said(stale: Stale) -> &'static str {
    match stale {
        Stale::Silent => "the peer is silent: nothing came within the heartbeat's bound",
        Stale::Stuck => "the peer takes nothing in: a write did not end within its deadline",
    }
}

impl<E: Classify> Classify for LinkError<E> {
    fn failure(&self) -> Failure {
        let failure = match self {
            Self::Io(error) => error.failure(),
            Self::Ended => Failure::new(Kind::Closed),
            Self::Stale(_) => Failure::new(Kind::Stale),
            Self::FrameTooLarge { .. } => Failure::new(Kind::Protocol),
            Self::Late { .. } => Failure::new(Kind::Timeout),
            Self::Protocol(error) => error.failure(),
        };
        Failure {
            phase: failure.phase.or(Some(Phase::Session)),
            ..failure
        }
    }
}

/// A connection was left on our side: for a better one, at a close, because a reconnect was asked for.
pub(super) const LEFT: Failure = Failure::new(Kind::Cancelled).scope(Scope::Transient);

/// Why there is no answer to a request.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RequestError<M> {
    /// It was not accepted.
    #[error(transparent)]
    Refused(Refused<M>),
    /// It was accepted, and dropped before it was sent.
    #[error("the request was dropped before it was sent ({})", .0.as_str())]
    Dropped(Dropped),
    /// The protocol cannot write it on this connection: its own words. It was not sent, or it was replayed.
    #[error("the protocol cannot send the request over this connection")]
    Unsendable(#[source] Arc<dyn core::error::Error + Send + Sync>),
    /// The peer refused the message.
    #[error("the peer refused the request")]
    RefusedByPeer,
    /// It was sent, and the connection was lost: the peer may have acted on it, or not.
    #[error("the connection was lost before an answer came ({0})")]
    Lost(Failure),
    /// No answer came within the policy's deadline. If it was not sent yet, it is not sent any more; otherwise
    /// the peer may have acted on it.
    #[error("no answer came in time")]
    Late,
    /// The link is over.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Why a flush failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum FlushError {
    /// The connection was lost: each message's fate is told apart.
    #[error("the connection was lost before all was flushed ({0})")]
    Lost(Failure),
    /// The link is over.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Why a link is over.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Ended {
    /// It was drained, or closed.
    #[error("the link is closed")]
    Closed,
    /// The policy's limit was reached.
    #[error(transparent)]
    GaveUp(#[from] GiveUp),
    /// The driver was dropped.
    #[error("the driver of this link was dropped")]
    NoDriver,
}
