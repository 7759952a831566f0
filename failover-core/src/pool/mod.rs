//! What the machine knows of its endpoints, and the walk over them.

use alloc::vec::Vec;

use rand::Rng;
use rand::seq::SliceRandom;

use crate::endpoint::{EndpointId, Traits};
use crate::time::Time;

/// The endpoints of one machine: facts by slot, and the order in which a walk meets the slots.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pool {
    slots: Vec<Slot>,
    order: Vec<SlotIndex>,
}

/// Where a slot is in the pool.
pub(crate) type SlotIndex = u32;

/// One endpoint and what happened to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot {
    pub(crate) traits: Traits,
    /// The route that worked last, which goes first.
    pub(crate) first_route: u8,
    /// Failed turns in a row.
    pub(crate) failures: u32,
    /// Failures in a row that were its own fault, for the length of its bench.
    pub(crate) benched: u32,
    /// The outage in which it was retired by its limit, or 0.
    pub(crate) retired_in: u32,
    /// The round in which it had its turn, or 0.
    pub(crate) round: u32,
    /// The wait before its last dial, in nanoseconds, under a pace per endpoint.
    pub(crate) wait: u64,
    /// When its last turn ended.
    pub(crate) ended: Time,
    /// Not before this time: the hard floor under the distance of two dials.
    pub(crate) floor: Time,
    /// Not before this time, unless nobody else is ready: benched, or the server asked for it.
    pub(crate) ready_at: Time,
}

impl Slot {
    fn new(traits: Traits) -> Self {
        Self {
            traits,
            first_route: 0,
            failures: 0,
            benched: 0,
            retired_in: 0,
            round: 0,
            wait: 0,
            ended: Time::ZERO,
            floor: Time::ZERO,
            ready_at: Time::ZERO,
        }
    }

    /// Forgets its failures: it proved stable, or begins anew.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
        self.benched = 0;
        self.retired_in = 0;
        self.wait = 0;
        self.ready_at = Time::ZERO;
    }
}

impl Pool {
    /// Slots in the order of the list. Ids rise in it, so that a slot is found by its id.
    pub(crate) fn new(traits: &[Traits]) -> Self {
        let mut slots: Vec<Slot> = traits.iter().copied().map(Slot::new).collect();
        slots.sort_by_key(|slot| slot.traits.id());
        slots.dedup_by_key(|slot| slot.traits.id());
        let order = traits
            .iter()
            .filter_map(|traits| find(&slots, traits.id()))
            .collect();
        Self { slots, order }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn find(&self, id: EndpointId) -> Option<SlotIndex> {
        find(&self.slots, id)
    }

    pub(crate) fn slot(&self, index: SlotIndex) -> &Slot {
        &self.slots[index as usize]
    }

    pub(crate) fn slot_mut(&mut self, index: SlotIndex) -> &mut Slot {
        &mut self.slots[index as usize]
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Shuffles the walk, uniformly.
    pub(crate) fn shuffle(&mut self, rng: &mut impl Rng) {
        self.order.shuffle(rng);
    }

    /// All slots with their places in the walk, beginning at this place.
    pub(crate) fn walk_from(&self, place: usize) -> impl Iterator<Item = (usize, SlotIndex)> {
        let n = self.order.len();
        (place..place + n).map(move |at| (at % n, self.order[at % n]))
    }
}

fn find(slots: &[Slot], id: EndpointId) -> Option<SlotIndex> {
    let at = slots
        .binary_search_by_key(&id, |slot| slot.traits.id())
        .ok()?;
    SlotIndex::try_from(at).ok()
}
