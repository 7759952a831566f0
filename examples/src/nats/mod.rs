//! A client of NATS on the link: publish, subscribe, request, over tcp, tls, ws and wss.
//!
//! Nothing here reconnects, queues or waits: the link does. What is NATS's own is here: how to log in
//! (`protocol`), what stands on the wire (`parse`, `session`), who is subscribed (`subscriptions`), and how
//! TLS begins (`dialer`).

mod dialer;
mod error;
mod parse;
mod policy;
mod protocol;
mod session;
mod subscriptions;

use bytes::Bytes;
use failover_core::messaging::{Inbox, Link, Room};

pub use self::dialer::dialer;
pub use self::error::NatsError;
pub use self::policy::policy;
pub use self::protocol::{Credentials, Nats};
pub use self::session::NatsSession;
use self::subscriptions::Subscription;

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    subject: String,
    payload: Bytes,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It wants no answer.
    Plain,
    /// Its answer comes to an address with the message's number.
    Request,
}

impl Publish {
    /// A message to this subject.
    pub fn to(subject: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            subject: subject.into(),
            payload: payload.into(),
            kind: Kind::Plain,
        }
    }

    /// One that is to be answered: for [`Link::request`].
    pub fn request(subject: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            kind: Kind::Request,
            ..Self::to(subject, payload)
        }
    }
}

/// What came in for a subscriber, or as the answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The subject that it was published to.
    pub subject: String,
    /// Where an answer to it goes.
    pub reply: Option<String>,
    /// The server's status instead of an answer: 503 means that nobody is there to answer.
    pub status: Option<u16>,
    /// What was published, without headers.
    pub payload: Bytes,
}

/// Subscribes to this subject (which may hold `*` and `>`), now and on every later connection. Dropping
/// the reader ends it. A reader that is too slow loses the newest messages: counted by it, told as an
/// error.
///
/// # Errors
/// When the subject is none.
pub fn subscribe(
    link: &Link<Nats>,
    subject: &str,
    room: Room,
) -> Result<Inbox<Incoming>, NatsError> {
    if !parse::is_subject(subject) {
        return Err(NatsError::NoSubject(subject.to_string()));
    }
    let subscriptions = link.protocol().subscriptions();
    let reader = subscriptions.add(Subscription::to(subject), room, link.waker());
    link.nudge();
    Ok(reader)
}
