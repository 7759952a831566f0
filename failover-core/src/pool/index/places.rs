//! A list that was shuffled once: which slot stands at which place.

use alloc::vec::Vec;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

/// A permutation and its inverse.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Places {
    slots: Vec<u32>,
    places: Vec<u32>,
}

impl Places {
    /// So many slots, in a uniformly random order.
    pub(super) fn new(len: u32, rng: &mut impl Rng) -> Self {
        let mut slots: Vec<u32> = (0..len).collect();
        slots.shuffle(rng);
        Self::in_order(slots)
    }

    /// These slots, each of which is there once, in this order.
    pub(super) fn in_order(slots: Vec<u32>) -> Self {
        let mut places = slots.clone();
        for (place, &slot) in (0..).zip(&slots) {
            places[slot as usize] = place;
        }
        Self { slots, places }
    }

    pub(super) fn slot(&self, place: u32) -> u32 {
        self.slots[place as usize]
    }

    pub(super) fn place(&self, slot: u32) -> u32 {
        self.places[slot as usize]
    }

    /// One more slot at a uniformly random place; the slot that stood there moves to the end. That
    /// keeps the whole order uniform, and costs no walk. Returns the new slot's place.
    pub(super) fn push(&mut self, rng: &mut impl Rng) -> u32 {
        let last = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let place = rng.random_range(0..=last);
        self.slots.push(last);
        self.places.push(place);
        let moved = self.slots[place as usize];
        self.slots.swap(place as usize, last as usize);
        if moved != last {
            self.places[moved as usize] = last;
        }
        place
    }
}
