//! A client of MQTT 3.1.1 on the link: publish and subscribe with quality of service 0 and 1, over tcp, tls,
//! ws and wss.
//!
//! Nothing here reconnects, queues or waits: the link does. What is MQTT's own is here: how to log in
//! (`protocol`), what stands on the wire (`packet`, `session`), who is subscribed to which topics
//! (`subscriptions`, `topic`), and which transports there are (`dialer`).
//!
//! Each connection begins a clean session: the broker keeps nothing for a client that is away. A message of
//! quality 1 is confirmed by its `PUBACK`, and replayed until then if the link's policy says so. It has no
//! quality 2, no will and no sessions that go on.

mod dialer;
mod error;
mod packet;
mod protocol;
mod session;
mod subscriptions;
mod topic;

use bytes::Bytes;
use failover_core::messaging::{Inbox, Link, Room};

pub use self::dialer::dialer;
pub use self::error::MqttError;
pub use self::protocol::{Credentials, Mqtt};
pub use self::session::MqttSession;
use self::subscriptions::Subscription;

/// The quality of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Qos {
    /// At most once: it is done when the transport has it. (QoS 0)
    AtMostOnce,
    /// At least once, as far as the link replays: it is done when the broker has acknowledged it. (QoS 1)
    AtLeastOnce,
}

impl Qos {
    /// The number on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::AtMostOnce => 0,
            Self::AtLeastOnce => 1,
        }
    }
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    topic: String,
    payload: Bytes,
    qos: Qos,
    retain: packet::Retain,
}

impl Publish {
    /// A message to this topic, of quality 1.
    pub fn to(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: Qos::AtLeastOnce,
            retain: packet::Retain::No,
        }
    }

    /// The same of this quality.
    #[must_use]
    pub fn qos(mut self, qos: Qos) -> Self {
        self.qos = qos;
        self
    }

    /// The same, which the broker keeps for those who subscribe later. (The flag `RETAIN`)
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = packet::Retain::Yes;
        self
    }
}

/// What came in for a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incoming {
    /// The topic that it was published to.
    pub topic: String,
    /// What was published.
    pub payload: Bytes,
    /// The quality it came with: that of its publication or of the subscription, whichever is less.
    pub qos: Qos,
    /// Whether the broker had kept it from before the subscription.
    pub retained: bool,
    /// Whether the broker may have sent it before.
    pub again: bool,
}

/// Subscribes to this topic filter (which may hold `+` and `#`), now and on every later connection. Dropping
/// the reader ends it.
///
/// While a reader's room is full nothing is read from the connection, acknowledgements neither: no message is
/// dropped here; what the broker does with a client that does not read is its own affair. A message of
/// quality 1 is acknowledged when it lies in the reader's room.
///
/// # Errors
/// When the filter is none.
pub fn subscribe(
    link: &Link<Mqtt>,
    filter: &str,
    qos: Qos,
    room: Room,
) -> Result<Inbox<Incoming>, MqttError> {
    if !topic::is_filter(filter) {
        return Err(MqttError::NoFilter(filter.to_string()));
    }
    let subscription = Subscription {
        filter: filter.into(),
        qos,
    };
    let subscriptions = link.protocol().subscriptions();
    let reader = subscriptions.add(subscription, room, link.waker());
    link.nudge();
    Ok(reader)
}
