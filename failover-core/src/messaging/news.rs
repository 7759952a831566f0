//! What happened to messages and sessions.

use std::sync::Arc;

use crate::directory::Target;
use crate::link::{Dropped, Fate, MessageId, Resumption};

/// What happened to messages and sessions; what happened to connections, the connector's
/// [events](crate::drive::Events) tell.
#[derive(Debug)]
#[non_exhaustive]
pub enum News<E> {
    /// A connection stands, and this is what it means for the messages of the last one.
    Connected {
        /// To whom.
        target: Target,
        /// Whether the session goes on.
        resumption: Resumption,
    },
    /// Accepted messages were dropped before they were sent. Behind one that the protocol cannot write
    /// ([`Dropped::Refused`]) its reason comes as an [`Error`](Self::Error).
    Dropped {
        /// Which.
        messages: Span,
        /// Why.
        why: Dropped,
    },
    /// Messages were handed over, and whether the peer has them will not be known.
    Unconfirmed {
        /// Which.
        messages: Span,
    },
    /// Messages were handed over, and the peer has refused them, or the protocol cannot replay them (its reason
    /// comes behind as an [`Error`](Self::Error)).
    Refused {
        /// Which.
        messages: Span,
    },
    /// An answer or a confirmation was overdue, and the policy wants that reported.
    Late {
        /// The message.
        id: MessageId,
    },
    /// An answer came that nobody awaits: too late, or never asked for.
    Unexpected {
        /// To which message, as the session says.
        id: MessageId,
    },
    /// Something went wrong that concerns no connection: the protocol's own words.
    Error(Arc<E>),
}

impl<E> Clone for News<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Connected { target, resumption } => Self::Connected {
                target: target.clone(),
                resumption: *resumption,
            },
            Self::Dropped { messages, why } => Self::Dropped {
                messages: *messages,
                why: *why,
            },
            Self::Unconfirmed { messages } => Self::Unconfirmed {
                messages: *messages,
            },
            Self::Refused { messages } => Self::Refused {
                messages: *messages,
            },
            Self::Late { id } => Self::Late { id: *id },
            Self::Unexpected { id } => Self::Unexpected { id: *id },
            Self::Error(error) => Self::Error(Arc::clone(error)),
        }
    }
}

/// Messages that share a fate: `count` of those from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Span {
    /// The first of them.
    pub first: MessageId,
    /// The last of them.
    pub last: MessageId,
    /// How many they are; fewer than the numbers between where others lie among them.
    pub count: u64,
}

/// What a link has done since it was made.
///
/// `accepted` is always the sum of `queued`, `handed` and `dropped`; `awaiting`, `confirmed` and
/// `unconfirmed` are among `handed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LinkCounters {
    /// Messages accepted.
    pub accepted: u64,
    /// Messages accepted and neither handed over nor dropped: now.
    pub queued: u64,
    /// Their bytes: now.
    pub queued_bytes: u64,
    /// Messages handed to a transport.
    pub handed: u64,
    /// Messages handed over that await their confirmation: now.
    pub awaiting: u64,
    /// Messages confirmed.
    pub confirmed: u64,
    /// Messages handed over whose confirmation never came.
    pub unconfirmed: u64,
    /// Messages dropped before they were handed over.
    pub dropped: u64,
    /// Messages handed over that the peer refused, or that a later connection could not replay.
    pub refused: u64,
    /// Times that a message was handed over again.
    pub replayed: u64,
    /// Requests and confirmations that were overdue.
    pub late: u64,
}

/// Messages of one fate, gathered until the lock is released.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    fate: Fate,
    span: Span,
}

impl Gone {
    pub(super) const fn new(id: MessageId, fate: Fate) -> Self {
        let span = Span {
            first: id,
            last: id,
            count: 1,
        };
        Self { fate, span }
    }

    /// Takes this message in too, if it shares the fate and follows.
    pub(super) fn extend(&mut self, id: MessageId, fate: Fate) -> Option<()> {
        if self.fate != fate || id <= self.span.last {
            return None;
        }
        self.span.last = id;
        self.span.count += 1;
        Some(())
    }

    pub(super) const fn news<E>(self) -> Option<News<E>> {
        match self.fate {
            Fate::Dropped(why) => Some(News::Dropped {
                messages: self.span,
                why,
            }),
            Fate::Unconfirmed => Some(News::Unconfirmed {
                messages: self.span,
            }),
            Fate::Refused => Some(News::Refused {
                messages: self.span,
            }),
            Fate::Queued
            | Fate::Awaiting { .. }
            | Fate::Handed
            | Fate::Released
            | Fate::Confirmed => None,
        }
    }
}
