//! A client of STOMP 1.2 on the link: send with receipts, subscribe with acknowledgements, over tcp, tls, ws
//! and wss.
//!
//! Nothing here reconnects, queues or waits: the link does. What is STOMP's own is here: how to log in
//! (`protocol`), what stands on the wire (`frame`, `session`), who is subscribed and what is acknowledged
//! (`subscriptions`), and which transports there are (`dialer`). It has no transactions.

mod dialer;
mod error;
mod frame;
mod protocol;
mod session;
mod subscriptions;

use std::fmt;

use bytes::Bytes;
use failover_core::messaging::{Inbox, Link, Room};

pub use self::dialer::dialer;
pub use self::error::StompError;
pub use self::protocol::{Credentials, Stomp};
pub use self::session::StompSession;
use self::subscriptions::Subscription;
pub use self::subscriptions::{Redelivered, Token};

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    destination: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    receipt: Receipt,
}

/// Whether the broker is asked for a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receipt {
    Wanted,
    None,
}

impl Send {
    /// A message to this destination, which the broker confirms with a receipt: until then the link keeps it,
    /// and replays it if its policy says so.
    pub fn to(destination: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            destination: destination.into(),
            headers: Vec::new(),
            body: body.into(),
            receipt: Receipt::Wanted,
        }
    }

    /// The same without a receipt: it is done when the transport has it.
    #[must_use]
    pub fn without_receipt(mut self) -> Self {
        self.receipt = Receipt::None;
        self
    }

    /// The same with one more header (`persistent`, `content-type`, one of your own).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// What is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    destination: String,
    ack: AckMode,
    headers: Vec<(String, String)>,
}

impl Subscribe {
    /// This destination, acknowledged like this.
    pub fn to(destination: impl Into<String>, ack: AckMode) -> Self {
        Self {
            destination: destination.into(),
            ack,
            headers: Vec::new(),
        }
    }

    /// The same with one more header (RabbitMQ's `prefetch-count`, ActiveMQ's `selector`).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// How messages are acknowledged. (The header `ack` of a `SUBSCRIBE`)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AckMode {
    /// Not at all: a message is done when the broker has sent it. What is on its way at a loss is lost.
    Auto,
    /// By the client; one acknowledgement is also for all before it.
    Client,
    /// By the client, each for itself.
    ClientIndividual,
}

impl AckMode {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Client => "client",
            Self::ClientIndividual => "client-individual",
        }
    }
}

impl fmt::Display for AckMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What came in for a subscriber.
#[derive(Debug)]
#[non_exhaustive]
pub struct Incoming {
    /// All headers, in their order; of those with one name the first counts.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// What it is acknowledged with; nothing with [`AckMode::Auto`].
    pub token: Option<Token>,
}

impl Incoming {
    /// The value of a header (`destination`, `message-id`, `redelivered`, …).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        frame::header(&self.headers, name)
    }
}

/// Subscribes, now and on every later connection. Dropping the reader ends it.
///
/// While a reader's room is full nothing is read from the connection, receipts neither: no message is
/// dropped, and the broker sends no more than the sockets hold (or its prefetch allows).
///
/// # Errors
/// When there is no destination.
pub fn subscribe(
    link: &Link<Stomp>,
    what: Subscribe,
    room: Room,
) -> Result<Inbox<Incoming>, StompError> {
    if what.destination.is_empty() {
        return Err(StompError::NoDestination);
    }
    let subscription = Subscription {
        asked: what,
        nudge: link.waker(),
    };
    let subscriptions = link.protocol().subscriptions();
    let reader = subscriptions.add(subscription, room, link.waker());
    link.nudge();
    Ok(reader)
}
