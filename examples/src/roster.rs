//! Who is subscribed to what, for any protocol: it lasts from connection to connection.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use failover_core::messaging::{Feed, Inbox, Room, inbox};

/// Who is subscribed. Clones share it. `S` is what is said of a subscription, `T` what comes in for it.
pub(crate) struct Roster<S, T>(Arc<Shared<S, T>>);

struct Shared<S, T> {
    members: Mutex<Members<S, T>>,
    /// Whether a reader may have left since somebody looked.
    stirred: Arc<AtomicBool>,
}

/// Those who are subscribed now, in the order in which they came.
pub(crate) struct Members<S, T> {
    /// The number of the latest that ever was; the first is 1.
    latest: u64,
    /// How many have left.
    left: u64,
    live: Vec<Member<S, T>>,
}

/// A subscription.
pub(crate) struct Member<S, T> {
    pub(crate) number: u64,
    pub(crate) what: S,
    pub(crate) feed: Feed<T>,
}

/// What one server knows of a roster.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// In rising order.
    numbers: Vec<u64>,
    latest: u64,
    left: u64,
}

impl<S, T> Roster<S, T> {
    /// One more. `nudge` is woken when the reader is dropped, and when it has room again.
    pub(crate) fn add(&self, what: S, room: Room, nudge: Waker) -> Inbox<T>
    where
        T: Send + 'static,
    {
        let stir = Stir {
            stirred: Arc::clone(&self.0.stirred),
            nudge,
        };
        let (feed, reader) = inbox(room, Waker::from(Arc::new(stir)));
        let mut members = self.lock();
        members.latest += 1;
        let number = members.latest;
        members.live.push(Member { number, what, feed });
        reader
    }

    /// Those who are subscribed now: who has left since the last look is not among them.
    pub(crate) fn look(&self) -> MutexGuard<'_, Members<S, T>> {
        let mut members = self.lock();
        if self.0.stirred.swap(false, Ordering::AcqRel) {
            members.tidy();
        }
        members
    }

    /// Those who were subscribed at the last look, and who came since.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Members<S, T>> {
        // Each change is a whole one.
        let members = &self.0.members;
        members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, T> Members<S, T> {
    pub(crate) fn get(&self, number: u64) -> Option<&Member<S, T>> {
        Some(&self.live[self.find(number)?])
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Member<S, T>> {
        let at = self.find(number)?;
        Some(&mut self.live[at])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member<S, T>> {
        self.live.iter()
    }

    /// Rises with every change.
    pub(crate) fn version(&self) -> u64 {
        self.latest + self.left
    }

    fn find(&self, number: u64) -> Option<usize> {
        let found = self.live.binary_search_by_key(&number, |one| one.number);
        found.ok()
    }

    fn tidy(&mut self) {
        let before = self.live.len();
        self.live.retain(|one| !one.feed.is_ended());
        self.left += (before - self.live.len()) as u64;
    }
}

impl Told {
    /// Those who came since it was told: they count as told now.
    pub(crate) fn begun<'a, S, T>(
        &mut self,
        members: &'a Members<S, T>,
    ) -> impl Iterator<Item = &'a Member<S, T>> + use<'a, S, T> {
        let live = &members.live;
        let new = &live[live.partition_point(|one| one.number <= self.latest)..];
        self.latest = members.latest;
        self.numbers.extend(new.iter().map(|one| one.number));
        new.iter()
    }

    /// Those who have left since it was told: they count as told now.
    pub(crate) fn ended<S, T>(&mut self, members: &Members<S, T>) -> Vec<u64> {
        if self.left == members.left {
            return Vec::new();
        }
        self.left = members.left;
        let gone = |number: &u64| members.find(*number).is_none();
        let ended = self.numbers.iter().copied().filter(gone).collect();
        self.numbers.retain(|number| !gone(number));
        ended
    }
}

impl<S, T> Clone for Roster<S, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, T> Default for Roster<S, T> {
    fn default() -> Self {
        let members = Members {
            latest: 0,
            left: 0,
            live: Vec::new(),
        };
        Self(Arc::new(Shared {
            members: Mutex::new(members),
            stirred: Arc::default(),
        }))
    }
}

impl<S, T> fmt::Debug for Roster<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.lock().live.len();
        f.debug_struct("Roster").field("live", &live).finish()
    }
}

/// Notes that a reader did something, before it nudges whom it nudges.
struct Stir {
    stirred: Arc<AtomicBool>,
    nudge: Waker,
}

impl Wake for Stir {
    fn wake(self: Arc<Self>) {
        self.stirred.store(true, Ordering::Release);
        self.nudge.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: Room = Room { items: 1, bytes: 1 };

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Join,
        /// The reader at this place leaves.
        Leave(usize),
        /// The server of now is told.
        Tell,
        /// Another server, which knows nothing.
        Reconnect,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::Join),
            2 => (0..8usize).prop_map(Step::Leave),
            2 => Just(Step::Tell),
            1 => Just(Step::Reconnect),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn a_server_that_is_told_knows_exactly_those_whose_readers_are_there(steps in steps()) {
            let roster = Roster::<u64, ()>::default();
            let (mut readers, mut count) = (Vec::new(), 0);
            let (mut told, mut knows) = (Told::default(), Vec::new());
            for step in steps {
                match step {
                    Step::Join => {
                        count += 1;
                        readers.push((count, roster.add(count, ROOM, Waker::noop().clone())));
                    }
                    Step::Leave(at) if at < readers.len() => drop(readers.remove(at)),
                    Step::Leave(_) => {}
                    Step::Reconnect => (told, knows) = (Told::default(), Vec::new()),
                    Step::Tell => {
                        let members = roster.look();
                        for one in told.begun(&members) {
                            prop_assert_eq!(one.number, one.what);
                            knows.push(one.number);
                        }
                        for number in told.ended(&members) {
                            let at = knows.iter().position(|known| *known == number);
                            prop_assert!(at.is_some(), "ended twice or never begun: {}", number);
                            knows.remove(at.unwrap());
                        }
                        let there = readers.iter().map(|(number, _)| *number);
                        prop_assert!(knows.iter().copied().eq(there));
                    }
                }
            }
        }
    }

    #[test]
    fn the_version_changes_with_whoever_comes_or_leaves_and_with_nothing_else() {
        let roster = Roster::<&str, u8>::default();
        let mut versions = vec![roster.look().version()];
        let first = roster.add("first", ROOM, Waker::noop().clone());
        versions.push(roster.look().version());
        let mut second = roster.add("second", ROOM, Waker::noop().clone());
        versions.push(roster.look().version());
        drop(first);
        versions.push(roster.look().version());
        assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
        let last = versions.last().copied();
        {
            let members = roster.look();
            assert_eq!(members.get(1).map(|one| one.what), None);
            let one = members.get(2).unwrap();
            one.feed.push(1, 1).unwrap();
            one.feed.push(2, 1).unwrap_err();
        }
        // Room again stirs, too.
        assert_eq!(second.try_next(), Some(1));
        assert_eq!(Some(roster.look().version()), last);
    }
}
