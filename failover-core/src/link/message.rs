//! A message, its number, and what became of it.

use core::fmt;

use crate::time::Time;

/// The number of an accepted message: 1, 2, 3 … in the order of acceptance, never used twice by a link.
///
/// A protocol may put it on the wire (a STOMP receipt, a sequence number, a reply address).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u64);

impl MessageId {
    /// The message with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What became of an accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// It waits, or is being written. Nothing of it counts as sent: after a loss it is written whole
    /// on the next connection.
    Queued,
    /// The transport has taken all of it, and its confirmation is awaited.
    Awaiting {
        /// How often it was handed to a transport: more than once, and the peer may have it twice.
        sent: u32,
    },
    /// The transport has taken all of it, and nothing more will be known: it asked for no confirmation.
    Handed,
    /// It was awaiting its confirmation, and left the bounded ring of what can be replayed
    /// ([`Replay::Messages`](crate::link::Replay::Messages)).
    Released,
    /// The peer has confirmed it.
    Confirmed,
    /// The transport has taken all of it, and its connection was lost (or the time for a confirmation
    /// passed): the peer has it, or not.
    Unconfirmed,
    /// The transport has taken all of it, and the peer has refused it (or a later connection's session
    /// could not write it again).
    Refused,
    /// It was not sent and will not be.
    Dropped(Dropped),
}

impl Fate {
    /// Whether this is its last fate.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        match self {
            Self::Queued | Self::Awaiting { .. } => false,
            Self::Handed
            | Self::Released
            | Self::Confirmed
            | Self::Unconfirmed
            | Self::Refused
            | Self::Dropped(_) => true,
        }
    }
}

/// Why a message was dropped after it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Dropped {
    /// A newer one needed its room ([`Overflow::DropOldest`](crate::link::Overflow::DropOldest)).
    Overflow,
    /// It was older than [`Bounds::age`](crate::link::Bounds::age).
    Age,
    /// The connection was lost, and nothing is kept without one ([`Outbox::Off`](crate::link::Outbox)).
    NoConnection,
    /// Who asked for its answer gave up before it was sent.
    Withdrawn,
    /// The protocol cannot write it on this connection.
    Refused,
    /// The link was closed.
    Closed,
}

impl Dropped {
    /// The word for logs: stable, lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::Age => "age",
            Self::NoConnection => "no-connection",
            Self::Withdrawn => "withdrawn",
            Self::Refused => "refused",
            Self::Closed => "closed",
        }
    }
}

/// An accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<M> {
    /// Its number.
    pub id: MessageId,
    /// Its size in bytes, as it is counted.
    pub size: u64,
    /// When it was accepted.
    pub at: Time,
    /// The message.
    pub message: M,
}
