//! Who is next in a long list: an index, kept up to date with what happens to the slots.
//!
//! A slot that changed is noted, and the index learns of it before the next question: only then is
//! the outage known in which its condition counts.

use alloc::vec::Vec;

use rand::Rng;

use crate::endpoint::Traits;
use crate::policy::{Shuffle, Walk};
use crate::pool::index::{Among, Index, IndexWalk};
use crate::pool::{Census, Condition, Of, Slot, SlotIndex, Special, Wanted};
use crate::time::Time;

/// The index over a long list, and who changed since it was asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Long {
    slots: Vec<Slot>,
    index: Index,
    /// What the index knows of each slot.
    known: Vec<Known>,
    /// Who changed since.
    changed: Vec<SlotIndex>,
    /// The outage for which this holds.
    outage: u32,
    /// Who was retired in it: the next outage has them back.
    retired: Vec<SlotIndex>,
    all: Census,
    /// Those who had their turn in this sweep.
    visited: Census,
    lowest_tier: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    condition: Condition,
    is_noted: bool,
}

impl Long {
    /// An index over this list. The slots are looked at before the first question.
    pub(super) fn new(slots: Vec<Slot>, list: &[Traits], walk: Walk, rng: &mut impl Rng) -> Self {
        let index = Index::new(walk_of(walk), &weighed(list), rng);
        Self::over(slots, list, index)
    }

    /// The same; a walk that is shuffled once has this order.
    pub(super) fn in_order(
        slots: Vec<Slot>,
        list: &[Traits],
        walk: Walk,
        order: Vec<SlotIndex>,
    ) -> Self {
        let index = Index::in_order(walk_of(walk), &weighed(list), order);
        Self::over(slots, list, index)
    }

    fn over(slots: Vec<Slot>, list: &[Traits], index: Index) -> Self {
        let mut long = Self {
            slots,
            index,
            known: Vec::with_capacity(list.len()),
            changed: Vec::new(),
            outage: 0,
            retired: Vec::new(),
            all: Census::default(),
            visited: Census::default(),
            lowest_tier: u8::MAX,
        };
        for traits in list {
            long.know(*traits);
        }
        long
    }

    /// The slots come from elsewhere: what happened to them is new here, and who had a turn, had it.
    pub(super) fn look_at_all(&mut self) {
        for (index, at) in (0..).zip(0..self.slots.len()) {
            self.note(index);
            if self.slots[at].is_taken {
                self.take_turn(index);
            }
        }
    }

    fn know(&mut self, traits: Traits) {
        self.known.push(Known {
            condition: Condition::Active,
            is_noted: false,
        });
        self.all.count(Condition::Active, 1);
        self.lowest_tier = self.lowest_tier.min(traits.in_tier());
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// A slot, to change it.
    #[inline(never)]
    pub(super) fn slot_mut(&mut self, index: SlotIndex) -> &mut Slot {
        self.note(index);
        &mut self.slots[index as usize]
    }

    /// One more at the end, ready, with a turn in this sweep.
    pub(super) fn push(&mut self, traits: Traits, rng: &mut impl Rng) {
        self.slots.push(Slot::new(self.slots.len()));
        self.index.push(traits.in_tier(), traits.weighs(), rng);
        self.know(traits);
    }

    /// This slot changes.
    fn note(&mut self, index: SlotIndex) {
        let known = &mut self.known[index as usize];
        if !core::mem::replace(&mut known.is_noted, true) {
            self.changed.push(index);
        }
    }

    pub(super) fn take_turn(&mut self, index: SlotIndex) {
        if !self.index.take_turn(index) {
            self.visited.count(self.known[index as usize].condition, 1);
        }
    }

    pub(super) fn give_turn(&mut self, index: SlotIndex) {
        if self.index.give_turn(index) {
            self.visited.count(self.known[index as usize].condition, -1);
        }
    }

    pub(super) fn had_turn(&self, index: SlotIndex) -> bool {
        self.index.had_turn(index)
    }

    pub(super) fn next_sweep(&mut self) {
        self.index.next_sweep();
        self.visited = Census::default();
    }

    pub(super) fn place_of(&self, index: SlotIndex) -> u32 {
        self.index.place(index)
    }

    /// The slots as the walk has them.
    pub(super) fn order(&self) -> impl Iterator<Item = SlotIndex> {
        self.index.order()
    }

    /// Whether any slot ever had a lower tier than this.
    pub(super) fn has_tier_below(&self, tier: u8) -> bool {
        self.lowest_tier < tier
    }

    pub(super) fn census(&mut self, of: Of, outage: u32) -> Census {
        self.learn(outage);
        match of {
            Of::All => self.all,
            Of::Visited => self.visited,
        }
    }

    /// The first time at which one of these is ready: now, if somebody is.
    pub(super) fn soonest(
        &mut self,
        wanted: &Wanted,
        except: impl Iterator<Item = SlotIndex> + Clone,
    ) -> Option<Time> {
        self.learn(wanted.outage);
        if let Some(only) = wanted.only {
            let is_free = except.clone().all(|other| other != only);
            return self.slots[only as usize]
                .ready_at(wanted.outage)
                .filter(|_| is_free);
        }
        self.hide(except.clone());
        let soonest = match self.index.any_ready(wanted.now) {
            true => Some(wanted.now),
            false => self.index.soonest(),
        };
        self.show(except);
        soonest
    }

    /// The next of these, in the walk from this place on.
    pub(super) fn pick(
        &mut self,
        list: &[Traits],
        (wanted, among, place): (&Wanted, Among, u32),
        rng: &mut impl Rng,
        except: impl Iterator<Item = SlotIndex> + Clone,
    ) -> Option<SlotIndex> {
        self.learn(wanted.outage);
        let (index, slots) = (&self.index, &self.slots);
        let is_open = |slot: &SlotIndex| {
            wanted.takes(*slot, &list[*slot as usize], &slots[*slot as usize])
                && (among == Among::All || !index.had_turn(*slot))
                && except.clone().all(|other| other != *slot)
        };
        if let Some(only) = wanted.only {
            return Some(only).filter(is_open);
        }
        let last = match wanted.special {
            Some((slot, Special::First)) if is_open(&slot) => return Some(slot),
            Some((slot, Special::Last)) => Some(slot),
            Some((_, Special::First)) | None => None,
        };
        let open_last = last.filter(is_open);
        let hidden = except.chain(last);
        self.hide(hidden.clone());
        let found = match wanted.ready <= wanted.now {
            true => self.index.pick(among, place, rng, wanted.now),
            false => self.index.pick_ahead(among, place, rng, wanted.ready),
        };
        self.show(hidden);
        let is_below = |slot: &SlotIndex| wanted.has_tier(&list[*slot as usize]);
        found.filter(is_below).or(open_last)
    }

    fn hide(&mut self, hidden: impl Iterator<Item = SlotIndex>) {
        for slot in hidden {
            self.index.set_ready(slot, None);
        }
    }

    fn show(&mut self, hidden: impl Iterator<Item = SlotIndex>) {
        for slot in hidden {
            let ready = self.slots[slot as usize].ready_at(self.outage);
            self.index.set_ready(slot, ready);
        }
    }

    /// Brings the index up to date with the slots. Costs those that changed.
    fn learn(&mut self, outage: u32) {
        if core::mem::replace(&mut self.outage, outage) != outage {
            for index in core::mem::take(&mut self.retired) {
                // Back, unless it is retired again.
                self.stands(index, Condition::Active);
                self.index.set_ready(index, Some(Time::ZERO));
                self.note(index);
            }
        }
        while let Some(index) = self.changed.pop() {
            self.learn_of(index);
        }
    }

    fn learn_of(&mut self, index: SlotIndex) {
        self.known[index as usize].is_noted = false;
        let slot = &self.slots[index as usize];
        let condition = slot.condition(self.outage);
        let (failures, ready) = (slot.failures_in(self.outage), slot.ready_at(self.outage));
        let before = self.stands(index, condition);
        self.index.set_failures(index, failures);
        if before == Condition::Active && condition == before {
            // It was ready, and is: what happens at most dials.
            return;
        }
        match condition {
            Condition::Removed => self.index.remove(index),
            Condition::Active
            | Condition::Marked
            | Condition::Suspended
            | Condition::Retired
            | Condition::Off => self.index.set_ready(index, ready),
        }
    }

    /// It is counted in this condition. Returns the one before.
    fn stands(&mut self, index: SlotIndex, condition: Condition) -> Condition {
        let known = &mut self.known[index as usize];
        let before = core::mem::replace(&mut known.condition, condition);
        if before == condition {
            return before;
        }
        self.all.count(before, -1);
        self.all.count(condition, 1);
        if self.index.had_turn(index) {
            self.visited.count(before, -1);
            self.visited.count(condition, 1);
        }
        if condition == Condition::Retired {
            self.retired.push(index);
        }
        before
    }
}

fn walk_of(walk: Walk) -> IndexWalk {
    match walk {
        Walk::Listed | Walk::FirstReady => IndexWalk::Listed,
        Walk::Rotate => IndexWalk::Rotate,
        Walk::Shuffled(Shuffle::Once) => IndexWalk::Shuffled,
        // To shuffle a long list again would walk it: it is drawn as it is visited.
        Walk::Shuffled(Shuffle::EachLoss | Shuffle::EachSweep) => IndexWalk::Drawn,
        Walk::Weighted => IndexWalk::Weighted,
        Walk::LeastFailed => IndexWalk::LeastFailed,
    }
}

fn weighed(list: &[Traits]) -> Vec<(u8, u16)> {
    list.iter().map(|t| (t.in_tier(), t.weighs())).collect()
}
