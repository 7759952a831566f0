//! Who is subscribed to what.

use std::mem;

use crate::nats::Incoming;
use crate::roster::{Members, Roster};

/// The number of the subscription that answers come to. Those of the roster come after it.
pub(super) const ANSWERS: u64 = 1;

pub(super) type Subscriptions = Roster<Subscription, Incoming>;

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) subject: String,
    pace: Pace,
}

/// Whether the last message found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Keeping,
    /// Told already.
    Slow,
}

impl Subscription {
    pub(super) fn to(subject: &str) -> Self {
        Self {
            subject: subject.to_string(),
            pace: Pace::Keeping,
        }
    }
}

/// Gives a message to its subscriber. The subject of the subscription if it finds no room, and did before.
pub(super) fn deliver(
    members: &mut Members<Subscription, Incoming>,
    sid: u64,
    incoming: Incoming,
) -> Option<String> {
    let one = members.get_mut(sid.checked_sub(ANSWERS)?)?;
    let size = incoming.payload.len() + incoming.subject.len();
    if one.feed.push(incoming, size).is_ok() {
        one.what.pace = Pace::Keeping;
        return None;
    }
    one.feed.count_dropped(1);
    let before = mem::replace(&mut one.what.pace, Pace::Slow);
    (before == Pace::Keeping).then(|| one.what.subject.clone())
}
