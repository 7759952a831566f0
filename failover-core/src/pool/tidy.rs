//! Slots of endpoints that were removed are given up: a list through which many come and go stays small.

use alloc::vec::Vec;

use rand::Rng;

use crate::endpoint::Endpoints;
use crate::policy::{Shuffle, Walk};
use crate::pool::long::Long;
use crate::pool::scan::LONGEST;
use crate::pool::{Condition, Finder, MaybeSlot, Of, Pool, Slot, SlotIndex};

/// So many are kept however short the list is: more than a machine still speaks of, so that giving up is never
/// in vain.
pub(crate) const KEPT: usize = 8;

/// Where each slot went.
pub(crate) struct Moved(Vec<MaybeSlot>);

impl Moved {
    /// Where this one is now; nothing if it was given up.
    pub(crate) fn to(&self, slot: SlotIndex) -> Option<SlotIndex> {
        self.0.get(slot as usize)?.get()
    }
}

impl Pool {
    /// Whether most slots are of endpoints that were removed.
    pub(crate) fn is_littered(&mut self) -> bool {
        let removed = self.census(Of::All, self.outage).removed;
        removed > KEPT && 2 * removed > self.slots().len()
    }

    /// Gives up the slots of removed endpoints but those that are needed. The others keep their order, their
    /// turns and where the walk stands. Lots are drawn only where an index that drew them is left for a scan.
    pub(crate) fn tidy(
        &mut self,
        walk: Walk,
        rng: &mut impl Rng,
        is_needed: impl Fn(SlotIndex) -> bool,
    ) -> Moved {
        let moved = self.who_stays(is_needed);
        let order = self.order();
        let stays = |slot: &SlotIndex| moved.to(*slot);
        let before = order.iter().take(self.place as usize);
        let place = before.filter_map(stays).count();
        self.place = SlotIndex::try_from(place).unwrap_or(self.place);
        let order: Vec<SlotIndex> = order.iter().filter_map(stays).collect();

        let is_there = |slot: &SlotIndex| moved.to(*slot).is_some();
        let kept: Vec<SlotIndex> = (0..).take(moved.0.len()).filter(is_there).collect();
        let slots = kept.iter().zip(&order).map(|(&slot, &at_place)| {
            let mut known = self.slot(slot).clone();
            known.is_taken = self.had_turn(slot);
            known.at_place = u8::try_from(at_place).unwrap_or(0);
            known
        });
        let slots: Vec<Slot> = slots.collect();
        let list: Vec<_> = kept.iter().map(|&slot| self.traits(slot)).collect();
        self.list = Endpoints::from(list);
        self.find_anew(slots, order, walk, rng);
        moved
    }

    /// Where each slot will be. The last one stays, for ids below its own are not new; and one of the lowest
    /// tier, for it is asked whether there ever was one.
    fn who_stays(&self, is_needed: impl Fn(SlotIndex) -> bool) -> Moved {
        let tiers = (0..).zip(self.list.iter().map(|traits| traits.in_tier()));
        let lowest = tiers.min_by_key(|&(_, tier)| tier).map(|(slot, _)| slot);
        let last = SlotIndex::try_from(self.list.len().saturating_sub(1)).ok();
        let mut len = 0;
        let moved = (0..).zip(self.slots()).map(|(slot, known)| {
            let stays = known.condition(self.outage) != Condition::Removed
                || [lowest, last].contains(&Some(slot))
                || is_needed(slot);
            if !stays {
                return MaybeSlot::NONE;
            }
            len += 1;
            MaybeSlot::some(len - 1)
        });
        Moved(moved.collect())
    }

    /// The slots as the walk has them.
    fn order(&self) -> Vec<SlotIndex> {
        match &self.finder {
            Finder::Scan(slots) => slots.iter().map(|slot| slot.at_place.into()).collect(),
            Finder::Long(long) => long.order().collect(),
        }
    }

    /// These are the slots from now on.
    fn find_anew(
        &mut self,
        slots: Vec<Slot>,
        order: Vec<SlotIndex>,
        walk: Walk,
        rng: &mut impl Rng,
    ) {
        if slots.len() > LONGEST {
            let mut long = Long::in_order(slots, &self.list, walk, order);
            long.look_at_all();
            self.finder = Finder::Long(long.into());
            return;
        }
        let had_index = matches!(self.finder, Finder::Long(_));
        self.finder = Finder::Scan(slots.into_boxed_slice());
        if let Walk::Shuffled(Shuffle::EachLoss | Shuffle::EachSweep) = walk
            && had_index
        {
            self.shuffle(rng);
        }
    }
}
