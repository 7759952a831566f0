//! Who is next in a short list: everybody is looked at. It is also what the index is held against.

use alloc::boxed::Box;

use rand::Rng;
use rand::seq::SliceRandom;

use crate::endpoint::Traits;
use crate::policy::{Walk, draw};
use crate::pool::index::Among;
use crate::pool::{Slot, SlotIndex, Special, Wanted};
use crate::time::Time;

/// The longest list that is scanned.
pub(super) const LONGEST: usize = 64;

/// What the scan keeps from pick to pick.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub(super) struct Scan {
    /// The slots in the order of a shuffled walk; empty for the others.
    order: Box<[SlotIndex]>,
    /// Who had a turn in this sweep: a bit for each slot.
    taken: u64,
}

/// The order of candidates, the most important first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    special: i8,
    tier: u8,
    failures: u32,
    steps: u32,
}

impl Scan {
    pub(super) fn new(len: usize, walk: Walk) -> Self {
        let n = SlotIndex::try_from(len).unwrap_or(SlotIndex::MAX);
        Self {
            order: match walk {
                Walk::Shuffled(_) => (0..n).collect(),
                Walk::Listed
                | Walk::FirstReady
                | Walk::Rotate
                | Walk::Weighted
                | Walk::LeastFailed => Box::default(),
            },
            taken: 0,
        }
    }

    /// Whether it is one over so many slots in this walk: what was read from a text may be anything.
    #[cfg(feature = "serde")]
    pub(super) fn fits(&self, len: usize, walk: Walk) -> bool {
        let mut sorted = self.order.to_vec();
        sorted.sort_unstable();
        *sorted == *Self::new(len, walk).order
            && self
                .taken
                .checked_shr(u32::try_from(len).unwrap_or(64))
                .unwrap_or(0)
                == 0
    }

    /// One more at the end.
    pub(super) fn push(&mut self, index: SlotIndex, walk: Walk) {
        if let Walk::Shuffled(_) = walk {
            let mut order = core::mem::take(&mut self.order).into_vec();
            order.push(index);
            self.order = order.into_boxed_slice();
        }
    }

    /// Shuffles the walk, uniformly.
    pub(super) fn shuffle(&mut self, rng: &mut impl Rng) {
        self.order.shuffle(rng);
    }

    pub(super) fn take_turn(&mut self, index: SlotIndex) {
        self.taken |= bit(index);
    }

    pub(super) fn give_turn(&mut self, index: SlotIndex) {
        self.taken &= !bit(index);
    }

    pub(super) fn had_turn(&self, index: SlotIndex) -> bool {
        self.taken & bit(index) != 0
    }

    pub(super) fn next_sweep(&mut self) {
        self.taken = 0;
    }

    pub(super) fn place_of(&self, index: SlotIndex) -> u32 {
        let at = self.order.iter().position(|&slot| slot == index);
        at.and_then(|at| u32::try_from(at).ok()).unwrap_or(index)
    }

    /// The first time at which one of these is ready.
    pub(super) fn soonest(
        slots: &[Slot],
        wanted: &Wanted,
        except: impl Iterator<Item = SlotIndex> + Clone,
    ) -> Option<Time> {
        (0..)
            .zip(slots)
            .filter(|(index, _)| wanted.only.is_none_or(|only| only == *index))
            .filter(|(index, _)| except.clone().all(|other| other != *index))
            .filter_map(|(_, slot)| slot.ready_at(wanted.outage))
            .min()
    }

    /// The next of these, in the walk from this place on.
    pub(super) fn pick(
        &self,
        (list, slots): (&[Traits], &[Slot]),
        (wanted, among, place): (&Wanted, Among, u32),
        rng: &mut impl Rng,
        except: impl Iterator<Item = SlotIndex> + Clone,
    ) -> Option<SlotIndex> {
        let open = |&(_, index): &(u32, SlotIndex)| {
            wanted.takes(index, &list[index as usize], &slots[index as usize])
                && (among == Among::All || !self.had_turn(index))
                && except.clone().all(|other| other != index)
        };
        let rank = |(steps, index): (u32, SlotIndex)| Rank {
            special: match wanted.special {
                Some((special, Special::First)) if special == index => -1,
                Some((special, Special::Last)) if special == index => 1,
                Some(_) | None => 0,
            },
            tier: list[index as usize].in_tier(),
            failures: match wanted.walk {
                Walk::LeastFailed => slots[index as usize].failures_in(wanted.outage),
                Walk::Listed
                | Walk::FirstReady
                | Walk::Rotate
                | Walk::Shuffled(_)
                | Walk::Weighted => 0,
            },
            steps: match wanted.walk {
                Walk::Weighted => 0,
                Walk::Listed
                | Walk::FirstReady
                | Walk::Rotate
                | Walk::Shuffled(_)
                | Walk::LeastFailed => steps,
            },
        };
        let candidates = || self.walk(wanted.walk, slots.len(), place).filter(open);
        let best = candidates().map(|found| (rank(found), found.1)).min()?;
        if wanted.walk != Walk::Weighted {
            return Some(best.1);
        }
        let equals = || candidates().filter(|&found| rank(found) == best.0);
        let weight = |index: SlotIndex| u64::from(list[index as usize].weighs());
        let total = equals().map(|(_, index)| weight(index)).sum();
        let mut drawn = draw(0, total, rng);
        for (_, index) in equals() {
            match drawn.checked_sub(weight(index)) {
                Some(rest) => drawn = rest,
                None => return Some(index),
            }
        }
        Some(best.1)
    }

    /// All slots in the order of the walk, counted from 0.
    fn walk(&self, walk: Walk, n: usize, from: u32) -> impl Iterator<Item = (u32, SlotIndex)> {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let start = match walk {
            Walk::Listed | Walk::FirstReady | Walk::Weighted => 0,
            Walk::Rotate | Walk::Shuffled(_) | Walk::LeastFailed => from,
        };
        (0..n).map(move |steps| {
            let place = (start + steps) % n;
            let index = self.order.get(place as usize).copied().unwrap_or(place);
            (steps, index)
        })
    }
}

fn bit(index: SlotIndex) -> u64 {
    1_u64.checked_shl(index).unwrap_or(0)
}
