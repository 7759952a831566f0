//! What a message client does over a connection, described as a value.

use core::time::Duration;

use crate::heartbeat::Heartbeat;

/// What a message client does over a connection. Pure data; everything is off by default.
///
/// ```
/// use failover_core::link::{LinkPolicy, Outbox};
///
/// let link = LinkPolicy::OFF.outbox(Outbox::Keep { bytes: 8 * 1024 * 1024 });
/// assert_eq!(link.heartbeat, None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LinkPolicy {
    /// How the peer is watched. Nothing: it is not.
    pub heartbeat: Option<Heartbeat>,
    /// What becomes of messages sent while there is no connection.
    pub outbox: Outbox,
    /// What becomes of a request without an answer.
    pub reply: Reply,
    /// What is sent again on the next connection.
    pub replay: Replay,
    /// How much is kept beside bytes, and what a full outbox does.
    pub bounds: Bounds,
    /// What a loss means for flushes and requests in flight.
    pub at_loss: AtLoss,
}

impl LinkPolicy {
    /// Nothing of it all.
    pub const OFF: Self = Self {
        heartbeat: None,
        outbox: Outbox::Off,
        reply: Reply::Off,
        replay: Replay::Off,
        bounds: Bounds::DEFAULT,
        at_loss: AtLoss::Fail,
    };

    /// How many bytes the outbox holds where nothing else is said: 8 MiB. (NATS's
    /// `ReconnectBufSize`)
    pub const BYTES: u64 = 8 * 1024 * 1024;

    /// How many bytes of messages may be accepted and not yet handed to a transport: those of
    /// [`Outbox::Keep`], otherwise [`BYTES`](Self::BYTES).
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        match self.outbox {
            Outbox::Keep { bytes } => bytes,
            Outbox::Off | Outbox::Wait { .. } => Self::BYTES,
        }
    }

    /// The same with this heartbeat.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: impl Into<Option<Heartbeat>>) -> Self {
        self.heartbeat = heartbeat.into();
        self
    }

    /// The same with this outbox.
    #[must_use]
    pub fn outbox(mut self, outbox: Outbox) -> Self {
        self.outbox = outbox;
        self
    }

    /// The same with this deadline for replies.
    #[must_use]
    pub fn reply(mut self, reply: Reply) -> Self {
        self.reply = reply;
        self
    }

    /// The same with this replay.
    #[must_use]
    pub fn replay(mut self, replay: Replay) -> Self {
        self.replay = replay;
        self
    }

    /// The same with these bounds.
    #[must_use]
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// The same with this meaning of a loss.
    #[must_use]
    pub fn at_loss(mut self, at_loss: AtLoss) -> Self {
        self.at_loss = at_loss;
        self
    }
}

impl Default for LinkPolicy {
    fn default() -> Self {
        Self::OFF
    }
}

/// What becomes of messages sent while there is no connection.
///
/// While there is one, they go through the same outbox: it is bounded by the bytes of `Keep`, or by
/// [`LinkPolicy::BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Outbox {
    /// Sending fails at once, and what was accepted and not yet sent at a loss is dropped. The default.
    #[default]
    Off,
    /// They are kept, up to this many bytes; beyond, [`Bounds::overflow`] decides. (NATS's
    /// `ReconnectBufSize`)
    Keep {
        /// How many bytes.
        bytes: u64,
    },
    /// The sender waits, this long at most; nothing: for ever. (ActiveMQ's `timeout`)
    Wait {
        /// How long.
        most: Option<Duration>,
    },
}

/// How much the outbox holds beside its bytes, and what happens when it is full.
///
/// ```
/// use core::time::Duration;
/// use failover_core::link::{Bounds, LinkPolicy, Outbox, Overflow};
///
/// // The last 100 positions of a vehicle, none older than a minute.
/// let link = LinkPolicy::OFF.outbox(Outbox::Keep { bytes: 65_536 }).bounds(
///     Bounds::DEFAULT
///         .messages(100)
///         .age(Duration::from_secs(60))
///         .overflow(Overflow::DropOldest),
/// );
/// assert_eq!(link.bytes(), 65_536);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Bounds {
    /// How many messages may be accepted and not yet handed to a transport, how many may await their
    /// confirmation, and how many requests their answers (one that came and was not fetched counts, too).
    /// Default 65 536: with tiny messages, what they cost beside their bytes.
    pub messages: u32,
    /// Messages that wait longer than this are dropped. Default: none.
    pub age: Option<Duration>,
    /// What a full outbox does. Default: it rejects. (One request too many is refused whatever this says.)
    pub overflow: Overflow,
}

impl Bounds {
    /// 65 536 messages of any age; a full outbox rejects.
    pub const DEFAULT: Self = Self {
        messages: 65_536,
        age: None,
        overflow: Overflow::Reject,
    };

    /// The same with this many messages; 0 counts as 1.
    #[must_use]
    pub const fn messages(mut self, most: u32) -> Self {
        self.messages = if most == 0 { 1 } else { most };
        self
    }

    /// The same with this greatest age.
    #[must_use]
    pub fn age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.age = age.into();
        self
    }

    /// The same with this answer to a message that has no room.
    #[must_use]
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a full outbox does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The new message is refused. The default.
    #[default]
    Reject,
    /// The oldest messages that wait are dropped, told and counted.
    DropOldest,
    /// The sender waits for room, this long at most; nothing: for ever.
    Wait {
        /// How long.
        most: Option<Duration>,
    },
}

/// What a loss means for a flush, and for a request that was handed to the lost connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AtLoss {
    /// It fails at once, with the reason of the loss. The default.
    #[default]
    Fail,
    /// It waits for the next connection. A request is sent again only if it is
    /// [replayed](Replay); its answer may also come to the next connection (NATS's inboxes).
    Wait,
}

/// What becomes of a request without an answer.
///
/// The same deadline holds for a message whose confirmation does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Reply {
    /// It is waited for. The default.
    #[default]
    Off,
    /// It has this long.
    Within {
        /// How long.
        deadline: Duration,
        /// And then?
        then: Late,
    },
}

/// What a reply means that did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Late {
    /// A failure of the endpoint, of the kind timeout. (Synapse's `fault`)
    Fault,
    /// The reply is dropped when it comes. (Synapse's `discard`)
    Discard,
    /// It is told, and nothing else. The default.
    #[default]
    Report,
}

/// What is sent again on the next connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Replay {
    /// Nothing. The default.
    #[default]
    Off,
    /// The messages that are not confirmed. No more than this many bytes go out unconfirmed (or one
    /// message): the next waits, so that none is lost. (ActiveMQ's `trackMessages`, `maxCacheSize`;
    /// ActiveMQ forgets the oldest instead)
    Bytes(u64),
    /// The latest messages, up to this many, from the one on that the peer received last. An older one
    /// leaves the ring; if the peer still lacks it then, the session is resumed with loss. (Diffusion's
    /// recovery buffer)
    Messages(u32),
}
