//! Who is subscribed to what: it lasts from connection to connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use failover_core::messaging::{Feed, Inbox, Room, inbox};

use crate::mqtt::topic::matches;
use crate::mqtt::{Incoming, Qos};

/// Who is subscribed to what. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriptions(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
pub(super) struct Inside {
    /// How many there ever were.
    count: u64,
    live: BTreeMap<u64, Subscription>,
    /// How often `live` has changed.
    changes: u64,
}

#[derive(Debug)]
struct Subscription {
    filter: String,
    qos: Qos,
    feed: Feed<Incoming>,
}

impl Subscriptions {
    pub(super) fn add(&self, filter: &str, qos: Qos, room: Room, nudge: Waker) -> Inbox<Incoming> {
        let (feed, reader) = inbox(room, nudge);
        let filter = filter.to_string();
        let mut inside = self.lock();
        inside.count += 1;
        inside.changes += 1;
        let number = inside.count;
        inside
            .live
            .insert(number, Subscription { filter, qos, feed });
        reader
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inside> {
        // Each change is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Forgets those whose reader is gone. How often anything has changed so far.
    pub(super) fn tidy(&mut self) -> u64 {
        let before = self.live.len();
        self.live.retain(|_, one| !one.feed.is_ended());
        if self.live.len() < before {
            self.changes += 1;
        }
        self.changes
    }

    /// What is wanted: each filter, with the best quality that anybody wants of it.
    pub(super) fn wanted(&self) -> BTreeMap<String, Qos> {
        let mut wanted = BTreeMap::new();
        for one in self.live.values() {
            let qos = wanted.entry(one.filter.clone()).or_insert(one.qos);
            *qos = one.qos.max(*qos);
        }
        wanted
    }

    /// Gives a message to all whom it is for and who do not have it yet.
    ///
    /// # Errors
    /// When one of them has no room; the others have it then.
    pub(super) fn deliver(
        &self,
        incoming: &Incoming,
        have_it: &mut BTreeSet<u64>,
    ) -> Result<(), NoRoom> {
        let mut delivered = Ok(());
        for (number, one) in &self.live {
            if have_it.contains(number) || !matches(&one.filter, &incoming.topic) {
                continue;
            }
            let size = incoming.payload.len() + incoming.topic.len();
            match one.feed.push(incoming.clone(), size) {
                Ok(()) => drop(have_it.insert(*number)),
                Err(_) => delivered = Err(NoRoom),
            }
        }
        delivered
    }
}

/// A reader's room is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoRoom;
