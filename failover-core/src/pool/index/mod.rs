//! Who is next among many endpoints, without walking the list.
//!
//! For lists too long to scan: up to some millions. The scan is the truth, and the tests hold the
//! index against it. The pieces: [`due`] knows who becomes ready when; [`tree`] knows who is ready
//! and has a turn in this sweep, by the one word that the walk compares ([`key`]); [`pots`] holds
//! the same to draw lots; [`places`] is the order of a list that was shuffled; [`turns`] is what
//! the walk needs of these. Every step costs the height of a wide tree at most. Only building the
//! index walks the list, and time that passes costs those who become ready by it.
//!
//! Bytes for each slot: 11 where the list is walked, 19 if it was shuffled, 17 by fewest failures,
//! 27 where lots are drawn.

mod due;
mod key;
mod places;
mod pots;
mod tree;
mod turns;

#[cfg(test)]
mod measure;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use rand::Rng;

use self::due::{Due, NEVER};
use self::places::Places;
use self::turns::Turns;
use crate::time::Time;

/// How the index walks. Tiers go before all of it: the lowest tier that has anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexWalk {
    /// The lowest slot.
    Listed,
    /// The first slot at or after the place.
    Rotate,
    /// Shuffled when the index is built, then walked as in `Rotate`: the same order every sweep.
    /// Building is the one time that the list is walked.
    Shuffled,
    /// Any of them with the same chance: a new order every sweep, drawn as it is walked, so that a
    /// shuffle costs nothing.
    Drawn,
    /// Any of them in proportion to their weights.
    Weighted,
    /// The one with the fewest failures; of several, the first at or after the place.
    LeastFailed,
}

/// Among whom a pick looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Among {
    /// Those who have a turn in this sweep.
    Fresh,
    /// All.
    All,
}

/// The slots of a long list, by what decides who is next.
///
/// Time never goes back: an earlier time than the latest it was told counts as that. What names a
/// slot that is not there changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Index {
    walk: IndexWalk,
    turns: Turns,
    due: Due,
    /// For a shuffled walk; all else has its slots in their own places.
    shuffled: Option<Places>,
    now: u64,
    /// Who counts as ready because a pick looked ahead to this time, and when each really is.
    ahead: Vec<(u32, u64)>,
    ahead_to: u64,
}

impl Index {
    /// These slots, as (tier, weight), ready now, without failures. Tier 255 counts as 254, weight
    /// 0 as 1.
    pub(crate) fn new(walk: IndexWalk, slots: &[(u8, u16)], rng: &mut impl Rng) -> Self {
        let len = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        let shuffled = (walk == IndexWalk::Shuffled).then(|| Places::new(len, rng));
        Self::with_places(walk, slots, shuffled)
    }

    /// The same; a shuffled walk has its slots in this order.
    pub(crate) fn in_order(walk: IndexWalk, slots: &[(u8, u16)], order: Vec<u32>) -> Self {
        let shuffled = (walk == IndexWalk::Shuffled).then(|| Places::in_order(order));
        Self::with_places(walk, slots, shuffled)
    }

    fn with_places(walk: IndexWalk, slots: &[(u8, u16)], shuffled: Option<Places>) -> Self {
        let len = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        let mut index = Self {
            walk,
            turns: Turns::new(walk, slots.len()),
            due: Due::new(),
            shuffled,
            now: 0,
            ahead: Vec::new(),
            ahead_to: 0,
        };
        for place in 0..len {
            let (tier, weight) = slots[index.slot(place) as usize];
            index.turns.push(tier, index.weight(weight));
            index.turns.set_ready(place as usize, true);
        }
        index.due.grow(slots.len());
        index
    }

    /// How many slots there are, with the removed ones.
    pub(crate) fn len(&self) -> usize {
        self.turns.len()
    }

    /// One more slot, ready now, with a turn in this sweep. Returns its number.
    pub(crate) fn push(&mut self, tier: u8, weight: u16, rng: &mut impl Rng) -> u32 {
        self.recall(self.now);
        let last = self.len();
        let slot = u32::try_from(last).unwrap_or(u32::MAX);
        self.turns.push(tier, self.weight(weight));
        self.due.grow(last + 1);
        if let Some(places) = &mut self.shuffled {
            let place = places.push(rng) as usize;
            self.turns.swap_with_last(place);
            let time = self.due.get(place);
            self.due.set(place, NEVER);
            self.due.set(last, time);
        }
        self.turns.set_ready(self.place(slot) as usize, true);
        slot
    }

    /// It is never picked again. Its number is not used again.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.set_ready(slot, None);
        if let Some(place) = self.known(slot) {
            self.turns.forget(place);
        }
    }

    /// It is ready from this time on; without one, never ([`Time::MAX`] is never, too).
    pub(crate) fn set_ready(&mut self, slot: u32, ready: Option<Time>) {
        let Some(place) = self.known(slot) else {
            return;
        };
        self.recall(self.now);
        if self.turns.is_gone(place) {
            return;
        }
        let ready = ready.map_or(NEVER, Time::as_nanos);
        if ready <= self.now && ready != NEVER {
            self.due.set(place, NEVER);
            self.turns.set_ready(place, true);
        } else {
            self.due.set(place, ready);
            self.turns.set_ready(place, false);
        }
    }

    /// So many failures in a row. Only the walk by fewest failures asks.
    pub(crate) fn set_failures(&mut self, slot: u32, failures: u32) {
        if let Some(place) = self.known(slot) {
            self.turns.set_failures(place, failures);
        }
    }

    /// It had its turn in this sweep. Returns whether it had been taken before.
    pub(crate) fn take_turn(&mut self, slot: u32) -> bool {
        self.known(slot).is_some_and(|place| self.turns.take(place))
    }

    /// It has another turn in this sweep. Returns whether the one before had been taken.
    pub(crate) fn give_turn(&mut self, slot: u32) -> bool {
        self.known(slot).is_some_and(|place| self.turns.give(place))
    }

    /// Whether it had its turn in this sweep.
    pub(crate) fn had_turn(&self, slot: u32) -> bool {
        self.known(slot)
            .is_some_and(|place| self.turns.is_taken(place))
    }

    /// Everybody has a turn again.
    pub(crate) fn next_sweep(&mut self) {
        self.turns.next_sweep();
    }

    /// The next of these that are ready now.
    pub(crate) fn pick(
        &mut self,
        among: Among,
        place: u32,
        rng: &mut impl Rng,
        now: Time,
    ) -> Option<u32> {
        self.advance(now);
        self.choose(among, place as usize, rng)
    }

    /// The next of these that will be ready at this time: to choose first and wait then. It changes
    /// nothing; but until that time comes, the next change gives back whoever became ready by it,
    /// one by one: few, if it is [`soonest`](Self::soonest).
    pub(crate) fn pick_ahead(
        &mut self,
        among: Among,
        place: u32,
        rng: &mut impl Rng,
        at: Time,
    ) -> Option<u32> {
        self.look_ahead(at);
        self.choose(among, place as usize, rng)
    }

    /// Whether anybody is ready now, with a turn or without.
    pub(crate) fn any_ready(&mut self, now: Time) -> bool {
        self.advance(now);
        self.turns.any_ready()
    }

    /// When the next one becomes ready, of those that are not ready yet, with a turn or without.
    pub(crate) fn soonest(&self) -> Option<Time> {
        let ahead = self.ahead.iter().map(|&(_, time)| time).min();
        let soonest = self.due.soonest().min(ahead.unwrap_or(NEVER));
        (soonest != NEVER).then(|| Time::from_nanos(soonest))
    }

    fn choose(&self, among: Among, place: usize, rng: &mut impl Rng) -> Option<u32> {
        let place = match self.walk {
            IndexWalk::Listed => self.turns.first(among),
            IndexWalk::Rotate | IndexWalk::Shuffled | IndexWalk::LeastFailed => {
                self.turns.first_around(place, among)
            }
            IndexWalk::Drawn | IndexWalk::Weighted => self.turns.draw(among, rng),
        };
        Some(self.slot(u32::try_from(place?).ok()?))
    }

    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now.as_nanos());
        self.recall(self.now);
        let turns = &mut self.turns;
        self.due
            .take_due(self.now, |place, _| turns.set_ready(place, true));
    }

    fn look_ahead(&mut self, at: Time) {
        let at = at.as_nanos().max(self.now);
        self.recall(at);
        self.ahead_to = at;
        let (turns, ahead, now) = (&mut self.turns, &mut self.ahead, self.now);
        self.due.take_due(at, |place, time| {
            turns.set_ready(place, true);
            if time > now {
                ahead.extend(u32::try_from(place).map(|place| (place, time)));
            }
        });
    }

    /// Gives back who became ready only by looking further ahead than this.
    fn recall(&mut self, to: u64) {
        let (turns, due, now) = (&mut self.turns, &mut self.due, self.now);
        if self.ahead_to <= now {
            // All of it came true.
            self.ahead.clear();
        }
        self.ahead.retain(|&(place, time)| {
            if time > to {
                due.set(place as usize, time);
                turns.set_ready(place as usize, false);
            }
            now < time && time <= to
        });
    }

    /// Its weight in a draw.
    fn weight(&self, weight: u16) -> u16 {
        match self.walk {
            IndexWalk::Drawn => 1,
            IndexWalk::Listed
            | IndexWalk::Rotate
            | IndexWalk::Shuffled
            | IndexWalk::Weighted
            | IndexWalk::LeastFailed => weight,
        }
    }

    /// The place of a slot that is there.
    fn known(&self, slot: u32) -> Option<usize> {
        ((slot as usize) < self.len()).then(|| self.place(slot) as usize)
    }

    /// Where it stands in the walk.
    pub(crate) fn place(&self, slot: u32) -> u32 {
        match &self.shuffled {
            Some(places) => places.place(slot),
            None => slot,
        }
    }

    /// The slots as the walk has them; in their own places, if it is not shuffled.
    pub(crate) fn order(&self) -> impl Iterator<Item = u32> {
        let len = u32::try_from(self.len()).unwrap_or(u32::MAX);
        (0..len).map(|place| self.slot(place))
    }

    fn slot(&self, place: u32) -> u32 {
        match &self.shuffled {
            Some(places) => places.slot(place),
            None => place,
        }
    }
}
