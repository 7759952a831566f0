//! What a message client does over a connection, described as a value.
//!
//! **Not enforced yet**: a [`LinkPolicy`] says what is wanted; the connector does not act on it. It
//! is defined here so that a preset and a configuration can give both values.

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
}

impl LinkPolicy {
    /// Nothing of it all.
    pub const OFF: Self = Self {
        heartbeat: None,
        outbox: Outbox::Off,
        reply: Reply::Off,
        replay: Replay::Off,
    };

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
}

impl Default for LinkPolicy {
    fn default() -> Self {
        Self::OFF
    }
}

/// What becomes of messages sent while there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Outbox {
    /// Sending fails at once. The default.
    #[default]
    Off,
    /// They are kept, up to this many bytes; beyond, sending fails. (NATS's `ReconnectBufSize`)
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

/// What becomes of a request without an answer.
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
    /// The messages that are not confirmed, the latest of them up to this many bytes. (ActiveMQ's
    /// `trackMessages`, `maxCacheSize`)
    Bytes(u64),
    /// The latest messages, up to this many, from the one on that the peer received last.
    /// (Diffusion's recovery buffer)
    Messages(u32),
}
