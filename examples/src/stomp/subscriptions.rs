//! Who is subscribed to what, and how messages are acknowledged.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Waker;

use thiserror::Error;

use crate::roster::Roster;
use crate::stomp::{Incoming, Subscribe};

pub(super) type Subscriptions = Roster<Subscription, Incoming>;

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) asked: Subscribe,
    /// Woken when there is an acknowledgement to write.
    pub(super) nudge: Waker,
}

impl Subscription {
    /// What a message that came over the connection of these verdicts is acknowledged with.
    pub(super) fn token(&self, ack: &str, verdicts: &Verdicts) -> Token {
        Token {
            ack: ack.to_string(),
            to: Arc::downgrade(&verdicts.0),
            nudge: self.nudge.clone(),
        }
    }
}

/// Acknowledges one message, over the connection that brought it. Dropping it says nothing: the broker
/// keeps the message for this client until the connection ends, then delivers it again.
#[derive(Debug)]
#[must_use = "the broker waits for an answer"]
pub struct Token {
    ack: String,
    to: Weak<Mutex<Vec<Verdict>>>,
    nudge: Waker,
}

/// The connection that brought a message is gone: the broker delivers the message again, to this client or
/// to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the connection that brought the message is gone: the broker delivers it again")]
pub struct Redelivered;

impl Token {
    /// The message is dealt with; with [`AckMode::Client`](crate::stomp::AckMode) so are all before it.
    ///
    /// # Errors
    /// When its connection is gone.
    pub fn ack(self) -> Result<(), Redelivered> {
        self.say("ACK")
    }

    /// The message is refused; what becomes of it the broker decides. With [`AckMode::Client`](crate::stomp::AckMode) so are all
    /// before it.
    ///
    /// # Errors
    /// When its connection is gone.
    pub fn nack(self) -> Result<(), Redelivered> {
        self.say("NACK")
    }

    fn say(self, command: &'static str) -> Result<(), Redelivered> {
        let to = self.to.upgrade().ok_or(Redelivered)?;
        let ack = self.ack;
        to.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Verdict { command, ack });
        self.nudge.wake();
        Ok(())
    }
}

/// Acknowledgements that one connection has to write: never more than messages that it brought.
#[derive(Debug, Default)]
pub(super) struct Verdicts(Arc<Mutex<Vec<Verdict>>>);

#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) command: &'static str,
    pub(super) ack: String,
}

impl Verdicts {
    pub(super) fn take(&self) -> Vec<Verdict> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
