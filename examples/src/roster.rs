//! Who is subscribed to what, for any protocol: it lasts from connection to connection.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::{fmt, mem};

use failover_core::messaging::{Feed, Inbox, Room, inbox};

/// Who is subscribed. Clones share it. `S` is what is said of a subscription, `T` what comes in for it.
pub(crate) struct Roster<S, T>(Arc<Shared<S, T>>);

struct Shared<S, T> {
    members: Mutex<Members<S, T>>,
    stirred: Arc<Stirred>,
}

/// Whose readers may have left since somebody looked, each once. Locked after the members.
type Stirred = Mutex<Vec<u64>>;

/// Those who are subscribed now, in the order in which they came.
pub(crate) struct Members<S, T> {
    /// The number of the latest that ever was; the first is 1.
    latest: u64,
    live: Vec<Member<S, T>>,
    /// How many have left.
    left: u64,
    /// The last that left, at most as many as are there or [`KEPT`].
    departed: VecDeque<u64>,
}

/// How many that left are kept even where fewer are there.
const KEPT: usize = 64;

/// A subscription.
pub(crate) struct Member<S, T> {
    pub(crate) number: u64,
    pub(crate) what: S,
    pub(crate) feed: Feed<T>,
    stir: Arc<Stir>,
}

/// What one server knows of a roster.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Those who came and have not left, as far as it was told, in rising order.
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
        let mut members = self.lock();
        members.latest += 1;
        let number = members.latest;
        let stir = Arc::new(Stir {
            number,
            is_noted: AtomicBool::new(false),
            stirred: Arc::clone(&self.0.stirred),
            nudge,
        });
        let (feed, reader) = inbox(room, Waker::from(Arc::clone(&stir)));
        members.live.push(Member {
            number,
            what,
            feed,
            stir,
        });
        reader
    }

    /// Those who are subscribed now: who has left since the last look is not among them.
    pub(crate) fn look(&self) -> MutexGuard<'_, Members<S, T>> {
        let mut members = self.lock();
        let stirred = mem::take(&mut *locked(&self.0.stirred));
        members.forget_ended(stirred);
        members
    }

    /// Those who were subscribed at the last look, and who came since.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Members<S, T>> {
        locked(&self.0.members)
    }
}

impl<S, T> Members<S, T> {
    pub(crate) fn get(&self, number: u64) -> Option<&Member<S, T>> {
        let at = self.place(number)?;
        self.live.get(at)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Member<S, T>> {
        let at = self.place(number)?;
        self.live.get_mut(at)
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.live
            .binary_search_by_key(&number, |one| one.number)
            .ok()
    }

    /// Of these, those whose readers are gone leave.
    fn forget_ended(&mut self, mut stirred: Vec<u64>) {
        stirred.retain(|number| {
            let one = self.get(*number);
            one.is_some_and(|one| {
                // First: who ends from now on is noted anew.
                one.stir.is_noted.swap(false, Ordering::AcqRel);
                one.feed.is_ended()
            })
        });
        if stirred.is_empty() {
            return;
        }
        stirred.sort_unstable();
        self.live
            .retain(|one| stirred.binary_search(&one.number).is_err());
        self.left += stirred.len() as u64;
        self.departed.extend(stirred);
        let most = self.live.len().max(KEPT);
        let over = self.departed.len().saturating_sub(most);
        self.departed.drain(..over);
    }

    /// Those who have left since so many had; none if that is longer ago than is kept.
    fn departed_since(&self, left: u64) -> Option<impl Iterator<Item = u64>> {
        let new = usize::try_from(self.left - left).ok()?;
        let known = self.departed.len().checked_sub(new)?;
        Some(self.departed.range(known..).copied())
    }
}

impl Told {
    /// Those who came since it was told: they count as told now.
    pub(crate) fn begun<'a, S, T>(
        &mut self,
        members: &'a Members<S, T>,
    ) -> impl Iterator<Item = &'a Member<S, T>> + use<'a, S, T> {
        if self.numbers.is_empty() {
            // Nobody whom it knows can have left.
            self.left = members.left;
        }
        let live = &members.live;
        let new = &live[live.partition_point(|one| one.number <= self.latest)..];
        self.latest = members.latest;
        self.numbers.extend(new.iter().map(|one| one.number));
        new.iter()
    }

    /// All that it knows, and knows no more.
    pub(crate) fn forget(&mut self) -> Vec<u64> {
        mem::take(&mut self.numbers)
    }

    /// Those who have left since it was told: they count as told now.
    pub(crate) fn ended<S, T>(&mut self, members: &Members<S, T>) -> Vec<u64> {
        let since = mem::replace(&mut self.left, members.left);
        let gone: Vec<u64> = match members.departed_since(since) {
            // Who came and left between two tellings was never told of.
            Some(departed) => departed.filter(|it| self.knows(*it)).collect(),
            None => {
                let known = self.numbers.iter().copied();
                known.filter(|it| members.place(*it).is_none()).collect()
            }
        };
        if !gone.is_empty() {
            self.numbers.retain(|it| members.place(*it).is_some());
        }
        gone
    }

    fn knows(&self, number: u64) -> bool {
        self.numbers.binary_search(&number).is_ok()
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
            live: Vec::new(),
            left: 0,
            departed: VecDeque::new(),
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

/// Notes that a reader left or has room again, before it nudges whom it nudges.
struct Stir {
    number: u64,
    /// Whether it is among those who stirred.
    is_noted: AtomicBool,
    stirred: Arc<Stirred>,
    nudge: Waker,
}

impl Wake for Stir {
    fn wake(self: Arc<Self>) {
        if !self.is_noted.swap(true, Ordering::AcqRel) {
            locked(&self.stirred).push(self.number);
        }
        self.nudge.wake_by_ref();
    }
}

/// Each change is a whole one.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const ROOM: Room = Room { items: 1, bytes: 1 };

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// So many come.
        Join(usize),
        /// From this place on, so many readers leave.
        Leave(usize, usize),
        /// More comes for the reader at this place than it has room for.
        Fill(usize),
        /// The reader at this place has room again.
        Take(usize),
        /// The server of now is told.
        Tell,
        /// Somebody else looks.
        Look,
        /// Another server, which knows nothing.
        Reconnect,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let few_or_many = || prop_oneof![4 => 1..4usize, 1 => 0..2 * KEPT];
        let step = prop_oneof![
            3 => few_or_many().prop_map(Step::Join),
            2 => (0..8usize, few_or_many()).prop_map(|(at, many)| Step::Leave(at, many)),
            1 => (0..8usize).prop_map(Step::Fill),
            1 => (0..8usize).prop_map(Step::Take),
            2 => Just(Step::Tell),
            1 => Just(Step::Look),
            1 => Just(Step::Reconnect),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn a_server_that_is_told_knows_exactly_those_whose_readers_are_there(steps in steps()) {
            let roster = Roster::<u64, ()>::default();
            let (mut readers, mut count) = (Vec::new(), 0);
            let (mut told, mut knows) = (Told::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Join(many) => for _ in 0..many {
                        count += 1;
                        readers.push((count, roster.add(count, ROOM, Waker::noop().clone())));
                    },
                    Step::Leave(at, many) => drop(readers.drain(
                        at.min(readers.len())..(at + many).min(readers.len()),
                    )),
                    Step::Fill(at) => if let Some((number, _)) = readers.get(at) {
                        let members = roster.lock();
                        let feed = &members.get(*number).unwrap().feed;
                        let _ = feed.push((), 1);
                        feed.push((), 1).unwrap_err();
                    },
                    Step::Take(at) => if let Some((_, reader)) = readers.get_mut(at) {
                        reader.try_next();
                    },
                    Step::Reconnect => (told, knows) = (Told::default(), BTreeSet::new()),
                    Step::Look => {
                        let members = roster.look();
                        let live = members.live.iter().map(|one| one.number);
                        prop_assert!(live.eq(readers.iter().map(|(it, _)| *it)));
                        prop_assert!(members.departed.len() <= KEPT.max(members.live.len()));
                    }
                    Step::Tell => {
                        let members = roster.look();
                        for one in told.begun(&members) {
                            prop_assert_eq!(one.number, one.what);
                            prop_assert!(knows.insert(one.number), "begun twice: {}", one.number);
                        }
                        for number in told.ended(&members) {
                            prop_assert!(knows.remove(&number), "never begun: {}", number);
                        }
                        prop_assert!(knows.iter().eq(readers.iter().map(|(it, _)| it)));
                    }
                }
            }
        }
    }

    #[test]
    fn only_those_whose_readers_did_something_are_looked_at_however_often_they_did() {
        let roster = Roster::<&str, u8>::default();
        let quiet = roster.add("quiet", ROOM, Waker::noop().clone());
        let mut slow = roster.add("slow", ROOM, Waker::noop().clone());
        for _ in 0..3 {
            let members = roster.lock();
            let feed = &members.get(2).unwrap().feed;
            feed.push(1, 1).unwrap();
            feed.push(2, 1).unwrap_err();
            // Room again.
            assert_eq!(slow.try_next(), Some(1));
        }
        let live = || -> Vec<u64> { roster.look().live.iter().map(|one| one.number).collect() };
        assert_eq!(*locked(&roster.0.stirred), [2]);
        assert_eq!(Vec::from([1, 2]), live());
        drop(quiet);
        assert_eq!(*locked(&roster.0.stirred), [1]);
        assert_eq!(Vec::from([2]), live());
        assert!(locked(&roster.0.stirred).is_empty());
    }

    #[test]
    fn a_server_that_missed_more_departures_than_are_kept_hears_of_all() {
        let roster = Roster::<(), ()>::default();
        let add = |_| roster.add((), ROOM, Waker::noop().clone());
        let mut readers: Vec<_> = (0..3 * KEPT).map(add).collect();
        let mut told = Told::default();
        assert_eq!(told.begun(&roster.look()).count(), 3 * KEPT);
        readers.drain(..2 * KEPT);
        let members = roster.look();
        assert_eq!(members.departed.len(), KEPT);
        assert!(told.ended(&members).into_iter().eq(1..=2 * KEPT as u64));
        assert!(told.ended(&members).is_empty());
    }
}
