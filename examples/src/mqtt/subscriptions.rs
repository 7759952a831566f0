//! Who is subscribed to what.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use crate::mqtt::topic::{has_wildcards, matches};
use crate::mqtt::{Incoming, Qos};
use crate::roster::{Members, Roster, Told};

pub(super) type Subscriptions = Roster<Subscription, Incoming>;

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) filter: Arc<str>,
    pub(super) qos: Qos,
}

/// The subscriptions by their filters, as one connection knows them.
#[derive(Debug, Default)]
pub(super) struct Filters {
    told: Told,
    /// What each subscription is to.
    known: BTreeMap<u64, (Arc<str>, Qos)>,
    /// Those without wildcards: found by a topic.
    plain: BTreeMap<Arc<str>, Readers>,
    /// Those with wildcards: each is tried.
    wild: BTreeMap<Arc<str>, Readers>,
    changed: BTreeSet<Arc<str>>,
}

/// Those who are subscribed to one filter; the best quality that one of them wants is that of the last.
type Readers = BTreeSet<(Qos, u64)>;

impl Filters {
    /// Takes in who came and who left.
    pub(super) fn update(&mut self, members: &Members<Subscription, Incoming>) {
        for one in self.told.begun(members) {
            let Subscription { filter, qos } = &one.what;
            self.known.insert(one.number, (Arc::clone(filter), *qos));
            let all = by_kind(&mut self.plain, &mut self.wild, filter);
            let readers = all.entry(Arc::clone(filter)).or_default();
            readers.insert((*qos, one.number));
            self.changed.insert(Arc::clone(filter));
        }
        for number in self.told.ended(members) {
            let Some((filter, qos)) = self.known.remove(&number) else {
                continue;
            };
            let all = by_kind(&mut self.plain, &mut self.wild, &filter);
            if let Some(readers) = all.get_mut(&filter) {
                readers.remove(&(qos, number));
                if readers.is_empty() {
                    all.remove(&filter);
                }
            }
            self.changed.insert(filter);
        }
    }

    /// The filters that somebody came to or left since they were taken last.
    pub(super) fn take_changed(&mut self) -> BTreeSet<Arc<str>> {
        mem::take(&mut self.changed)
    }

    /// This one has to be looked at again.
    pub(super) fn put_back(&mut self, filter: Arc<str>) {
        self.changed.insert(filter);
    }

    /// The best quality that anybody wants of this filter.
    pub(super) fn wanted(&self, filter: &str) -> Option<Qos> {
        let readers = self.plain.get(filter).or_else(|| self.wild.get(filter))?;
        readers.last().map(|(qos, _)| *qos)
    }

    /// Gives a message to all whom it is for and who do not have it yet.
    ///
    /// # Errors
    /// When one of them has no room; the others have it then.
    pub(super) fn deliver(
        &mut self,
        members: &Members<Subscription, Incoming>,
        incoming: &Incoming,
        have_it: &mut BTreeSet<u64>,
    ) -> Result<(), NoRoom> {
        self.update(members);
        let topic = incoming.topic.as_str();
        let plain = self.plain.get(topic);
        let wild = self.wild.iter();
        let wild = wild.filter(|(filter, _)| matches(filter, topic));
        let readers = plain.into_iter().chain(wild.map(|(_, readers)| readers));
        let mut delivered = Ok(());
        for (_, number) in readers.flatten() {
            let Some(one) = members.get(*number).filter(|_| !have_it.contains(number)) else {
                continue;
            };
            let size = incoming.payload.len() + topic.len();
            match one.feed.push(incoming.clone(), size) {
                Ok(()) => drop(have_it.insert(*number)),
                Err(_) => delivered = Err(NoRoom),
            }
        }
        delivered
    }
}

/// Those filters that this one is among.
fn by_kind<'a, T>(plain: &'a mut T, wild: &'a mut T, filter: &str) -> &'a mut T {
    match has_wildcards(filter) {
        true => wild,
        false => plain,
    }
}

/// A reader's room is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;
    use failover_core::messaging::{Inbox, Room};
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Join(&'static str, Qos),
        /// The reader at this place leaves.
        Leave(usize),
        /// The broker is told.
        Tell,
        /// A message comes in.
        Say(&'static str),
        /// The reader at this place takes what it has.
        Read(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let filters = ["a", "b", "a/b", "/", "a/+", "a/#", "+", "#", "$S/b", "$S/+"];
        let topics = ["a", "b", "a/b", "a/b/c", "/", "$S/b", "$S"];
        let qos = prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce)];
        let filter = proptest::sample::select(filters.to_vec());
        let step = prop_oneof![
            3 => (filter, qos).prop_map(|(filter, qos)| Step::Join(filter, qos)),
            2 => (0..8usize).prop_map(Step::Leave),
            2 => Just(Step::Tell),
            4 => proptest::sample::select(topics.to_vec()).prop_map(Step::Say),
            3 => (0..8usize).prop_map(Step::Read),
        ];
        proptest::collection::vec(step, 0..80)
    }

    struct Reader {
        filter: &'static str,
        qos: Qos,
        inbox: Inbox<Incoming>,
        /// What it should have.
        has: Option<&'static str>,
    }

    const ROOM: Room = Room { items: 1, bytes: 1 };

    proptest! {
        #[test]
        fn messages_reach_whose_filters_match_and_each_filter_is_asked_for_once_at_its_best(
            steps in steps(),
        ) {
            let roster = Subscriptions::default();
            let mut filters = Filters::default();
            let mut readers: Vec<Reader> = Vec::new();
            let mut told = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Join(filter, qos) => {
                        let what = Subscription { filter: filter.into(), qos };
                        let inbox = roster.add(what, ROOM, Waker::noop().clone());
                        readers.push(Reader { filter, qos, inbox, has: None });
                    }
                    Step::Leave(at) if at < readers.len() => drop(readers.remove(at)),
                    Step::Leave(_) => {}
                    Step::Tell => {
                        filters.update(&roster.look());
                        for filter in filters.take_changed() {
                            match filters.wanted(&filter) {
                                Some(qos) => told.insert(filter, qos),
                                None => told.remove(&filter),
                            };
                        }
                        let mut wanted = BTreeMap::<Arc<str>, Qos>::new();
                        for Reader { filter, qos, .. } in &readers {
                            let best = wanted.entry((*filter).into()).or_insert(*qos);
                            *best = (*qos).max(*best);
                        }
                        prop_assert_eq!(&told, &wanted);
                    }
                    Step::Say(topic) => {
                        let said = filters.deliver(&roster.lock(), &to(topic), &mut BTreeSet::new());
                        let mut room = Ok(());
                        for one in readers.iter_mut().filter(|one| matches(one.filter, topic)) {
                            match one.has {
                                None => one.has = Some(topic),
                                Some(_) => room = Err(NoRoom),
                            }
                        }
                        prop_assert_eq!(said, room);
                    }
                    Step::Read(at) => if let Some(one) = readers.get_mut(at) {
                        prop_assert_eq!(one.inbox.try_next(), one.has.take().map(to));
                    },
                }
            }
            for mut one in readers {
                prop_assert_eq!(one.inbox.try_next(), one.has.map(to));
            }
        }
    }

    #[test]
    fn a_message_that_is_delivered_again_goes_to_those_only_who_do_not_have_it() {
        let roster = Subscriptions::default();
        let to_filter = |filter: &str| {
            let what = Subscription {
                filter: filter.into(),
                qos: Qos::AtMostOnce,
            };
            roster.add(what, ROOM, Waker::noop().clone())
        };
        let (mut plain, mut wild) = (to_filter("a"), to_filter("+"));
        let (mut filters, mut have_it) = (Filters::default(), BTreeSet::new());
        let mut say = || filters.deliver(&roster.lock(), &to("a"), &mut have_it);
        assert_eq!(say(), Ok(()));
        assert_eq!(plain.try_next(), Some(to("a")));
        assert_eq!(say(), Ok(()));
        assert_eq!(plain.try_next(), None);
        assert_eq!((wild.try_next(), wild.try_next()), (Some(to("a")), None));
    }

    fn to(topic: &str) -> Incoming {
        Incoming {
            topic: topic.to_string(),
            payload: Bytes::from_static(b"payload"),
            qos: Qos::AtMostOnce,
            retained: false,
            again: false,
        }
    }
}
