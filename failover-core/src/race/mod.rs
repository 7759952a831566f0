//! Which candidate of a race to start, and when: happy eyeballs without the I/O.
//!
//! It opens no socket, resolves no name, arms no timer and does not know what its keys mean:
//! addresses of one server, or whole endpoints. [`Race`] is what may be said about a race,
//! [`Runners`] is one race, [`Trainer`] is what outlives it, [`interleave`] sorts a list of
//! addresses.
//!
//! ```
//! use core::time::Duration;
//! use failover_core::race::{Race, Runners, Trainer};
//! use failover_core::time::Time;
//!
//! let at = |millis| Time::ZERO + Duration::from_millis(millis);
//! let mut trainer = Trainer::new();
//! let mut race = Runners::new(&Race::default(), &trainer);
//! race.handle_candidates(["2001:db8::1", "192.0.2.1", "2001:db8::2"]);
//!
//! // The first starts at once; it is mute, so that the second follows after 250 ms.
//! assert_eq!(race.poll_next(at(0)), Some("2001:db8::1"));
//! assert_eq!(race.poll_next(at(0)), None);
//! assert_eq!(race.next_wake(), Some(at(250)));
//! assert_eq!(race.poll_next(at(250)), Some("192.0.2.1"));
//!
//! // The second is refused: the third follows at once, and wins.
//! race.handle_failed("192.0.2.1", at(251));
//! assert_eq!(race.poll_next(at(251)), Some("2001:db8::2"));
//! let lap = race.handle_done("2001:db8::2", at(254)).unwrap();
//! assert_eq!(race.winner(), Some("2001:db8::2"));
//! assert_eq!(race.losers().collect::<Vec<_>>(), ["2001:db8::1"]);
//! trainer.learn(lap);
//! ```

mod config;
mod interleave;
mod trainer;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

pub use self::config::{
    LEAST_STAGGER, LEAST_TRAINED_STAGGER, LONGEST_STAGGER, Race, RaceError, Stagger,
};
pub use self::interleave::interleave;
pub use self::trainer::{Lap, Trainer};
use crate::time::{Time, nanos};

/// One race: who runs, who waits, who has won.
///
/// # The one law of its life
/// After each `handle_*` and at each [`next_wake`](Self::next_wake), call
/// [`poll_next`](Self::poll_next) until it returns nothing, and start what it returns. A wake-up
/// that is early, late or doubled is harmless: however late it is, one candidate starts and the
/// stagger runs anew from there.
///
/// ```text
///   waiting ──poll_next──► in flight ──handle_done (the first)──► winner
///                              │   └── still in flight then ────► losers
///                              └────handle_failed──────────────► gone
/// ```
///
/// What starts: the first candidate at once; the next when the stagger has run out since the latest
/// start, or at once when the candidate that started last has failed; never more than
/// [`Race::most`] at a time, never one twice, and none after there is a winner. The failure of an
/// older one frees a place, but it does not shorten the stagger that the latest has.
///
/// A candidate is done when it is *wholly* done: TLS, upgrade and login included, if the caller's
/// dial includes them. So a server that accepts and is mute wins nothing.
///
/// A step takes O(most + log n), but for [`arrange`](Self::arrange); the heap holds the keys. A
/// `now` that runs backwards counts as standing still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runners<K> {
    most: usize,
    /// In nanoseconds; the same for the whole race.
    stagger: u64,
    /// Not started yet. The first of them, if any, never started before.
    waiting: VecDeque<K>,
    /// In the order of their starts.
    running: Vec<Runner<K>>,
    started: BTreeSet<K>,
    due: Due,
    /// Starts so far for want of patience, not because of a failure.
    hedges: u32,
    winner: Option<K>,
    /// The latest time that was told: time never runs backwards here.
    latest: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Runner<K> {
    key: K,
    since: Time,
    /// The race's hedges when it started, itself included.
    hedges: u32,
}

/// When the next one may start, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    at: Time,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It is the first.
    First,
    /// The one that started last has failed.
    Failed,
    /// The one that started last takes its time.
    Stagger,
}

impl<K: Copy + Ord> Runners<K> {
    /// A race without candidates. Its stagger is what the trainer knows by now.
    #[must_use]
    pub fn new(race: &Race, trainer: &Trainer) -> Self {
        Self {
            most: usize::from(race.most()),
            stagger: nanos(race.stagger().wait(trainer)),
            waiting: VecDeque::new(),
            running: Vec::new(),
            started: BTreeSet::new(),
            due: Due {
                at: Time::ZERO,
                cause: Cause::First,
            },
            hedges: 0,
            winner: None,
            latest: Time::ZERO,
        }
    }

    /// These are candidates too, behind those already known: at the start, and also later (an
    /// answer of the resolver that comes after the others). One that started before is left out.
    pub fn handle_candidates(&mut self, more: impl IntoIterator<Item = K>) {
        self.waiting.extend(more);
        self.drop_started();
    }

    /// Lets the caller sort the candidates that have not started, for instance with [`interleave`]
    /// after later answers came.
    pub fn arrange(&mut self, sort: impl FnOnce(&mut [K])) {
        sort(self.waiting.make_contiguous());
        self.drop_started();
    }

    /// This one failed. If it was the one that started last, the next is due at once.
    ///
    /// A report about one that is not in flight changes nothing.
    pub fn handle_failed(&mut self, key: K, now: Time) {
        let now = self.tick(now);
        let Some(at) = self.place(key) else {
            return;
        };
        if at + 1 == self.running.len() {
            self.due = Due {
                at: now,
                cause: Cause::Failed,
            };
        }
        self.running.remove(at);
    }

    /// This one is wholly done. The first of which this is said wins; its lap is for the
    /// [`Trainer`], and the [losers](Self::losers) are to be cancelled.
    ///
    /// Nothing for one that is not in flight or comes too late: the caller drops its connection.
    #[must_use = "without a lap it has not won: drop its connection"]
    pub fn handle_done(&mut self, key: K, now: Time) -> Option<Lap> {
        let now = self.tick(now);
        let runner = self.running.remove(self.place(key)?);
        if self.winner.is_some() {
            return None;
        }
        self.winner = Some(key);
        Some(Lap {
            took: now.since(runner.since),
            hedges: self.hedges.wrapping_sub(runner.hedges),
        })
    }

    /// The next candidate to start, if one is due.
    #[must_use = "it counts as started"]
    pub fn poll_next(&mut self, now: Time) -> Option<K> {
        let now = self.tick(now);
        if self.next_wake()? > now {
            return None;
        }
        let key = self.waiting.pop_front()?;
        self.on_start(key, now);
        Some(key)
    }

    /// When to call [`poll_next`](Self::poll_next), if nothing else happens before. A time that has
    /// passed means at once.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        let full = self.running.len() >= self.most;
        if self.winner.is_some() || self.waiting.is_empty() || full || self.due.at == Time::MAX {
            return None;
        }
        Some(self.due.at)
    }

    /// Who won.
    #[must_use]
    pub fn winner(&self) -> Option<K> {
        self.winner
    }

    /// Who is in flight, in the order of their starts. Given up before there is a winner (at a
    /// deadline, at close), these are to be cancelled.
    pub fn in_flight(&self) -> impl Iterator<Item = K> + '_ {
        self.running.iter().map(|runner| runner.key)
    }

    /// Who is still in flight although there is a winner: to be cancelled. Their later reports
    /// change nothing but this list.
    pub fn losers(&self) -> impl Iterator<Item = K> + '_ {
        self.in_flight().filter(|_| self.winner.is_some())
    }

    /// Whether nobody won, nobody is in flight and nobody waits: every candidate so far has failed.
    /// Candidates that come later end that.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.winner.is_none() && self.running.is_empty() && self.waiting.is_empty()
    }

    fn on_start(&mut self, key: K, now: Time) {
        // Then others are in flight: whoever fails last of all leaves `Cause::Failed`.
        if self.due.cause == Cause::Stagger {
            self.hedges = self.hedges.wrapping_add(1);
        }
        self.due = Due {
            at: now.after(self.stagger),
            cause: Cause::Stagger,
        };
        self.started.insert(key);
        self.running.push(Runner {
            key,
            since: now,
            hedges: self.hedges,
        });
        self.drop_started();
    }

    fn drop_started(&mut self) {
        while let Some(first) = self.waiting.front()
            && self.started.contains(first)
        {
            self.waiting.pop_front();
        }
    }

    fn place(&self, key: K) -> Option<usize> {
        self.running.iter().position(|runner| runner.key == key)
    }

    fn tick(&mut self, now: Time) -> Time {
        self.latest = self.latest.max(now);
        self.latest
    }
}
