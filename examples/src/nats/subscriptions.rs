//! Who is subscribed to what: it lasts from connection to connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use failover_core::messaging::{Feed, Inbox, Room, inbox};

use crate::nats::Incoming;

/// The number of the subscription that answers come to.
pub(super) const ANSWERS: u64 = 1;

/// Who is subscribed to what. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriptions(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
pub(super) struct Inside {
    /// How many there ever were.
    count: u64,
    pub(super) live: BTreeMap<u64, Subscription>,
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) subject: String,
    pub(super) feed: Feed<Incoming>,
    pub(super) pace: Pace,
}

/// Whether the last message found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Keeping,
    /// Told already.
    Slow,
}

impl Subscriptions {
    pub(super) fn add(&self, subject: &str, room: Room, nudge: Waker) -> Inbox<Incoming> {
        let (feed, reader) = inbox(room, nudge);
        let mut inside = self.lock();
        inside.count += 1;
        let sid = ANSWERS + inside.count;
        let subscription = Subscription {
            subject: subject.to_string(),
            feed,
            pace: Pace::Keeping,
        };
        inside.live.insert(sid, subscription);
        reader
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inside> {
        // Each change is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Gives a message to its subscriber. The subject of the subscription if it finds no room, and did
    /// before.
    pub(super) fn deliver(&mut self, sid: u64, incoming: Incoming) -> Option<String> {
        let subscription = self.live.get_mut(&sid)?;
        let size = incoming.payload.len() + incoming.subject.len();
        if subscription.feed.push(incoming, size).is_ok() {
            subscription.pace = Pace::Keeping;
            return None;
        }
        subscription.feed.count_dropped(1);
        let before = std::mem::replace(&mut subscription.pace, Pace::Slow);
        (before == Pace::Keeping).then(|| subscription.subject.clone())
    }
}
