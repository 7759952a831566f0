//! Who is subscribed to what.

use std::collections::{BTreeMap, BTreeSet};

use crate::mqtt::topic::matches;
use crate::mqtt::{Incoming, Qos};
use crate::roster::{Members, Roster};

pub(super) type Subscriptions = Roster<Subscription, Incoming>;

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) filter: String,
    pub(super) qos: Qos,
}

/// What is wanted: each filter, with the best quality that anybody wants of it.
pub(super) fn wanted(members: &Members<Subscription, Incoming>) -> BTreeMap<String, Qos> {
    let mut wanted = BTreeMap::new();
    for one in members.iter() {
        let Subscription { filter, qos } = &one.what;
        let best = wanted.entry(filter.clone()).or_insert(*qos);
        *best = (*qos).max(*best);
    }
    wanted
}

/// Gives a message to all whom it is for and who do not have it yet.
///
/// # Errors
/// When one of them has no room; the others have it then.
pub(super) fn deliver(
    members: &Members<Subscription, Incoming>,
    incoming: &Incoming,
    have_it: &mut BTreeSet<u64>,
) -> Result<(), NoRoom> {
    let mut delivered = Ok(());
    for one in members.iter() {
        if have_it.contains(&one.number) || !matches(&one.what.filter, &incoming.topic) {
            continue;
        }
        let size = incoming.payload.len() + incoming.topic.len();
        match one.feed.push(incoming.clone(), size) {
            Ok(()) => drop(have_it.insert(one.number)),
            Err(_) => delivered = Err(NoRoom),
        }
    }
    delivered
}

/// A reader's room is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoRoom;
