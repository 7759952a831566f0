//! Who is next in a short list: everybody is looked at. It is also what the index is held against.

use rand::Rng;
use rand::seq::SliceRandom;

use crate::endpoint::Traits;
use crate::policy::{Walk, draw};
use crate::pool::index::Among;
use crate::pool::{Slot, SlotIndex, Special, Wanted};
use crate::time::Time;

/// The longest list that is scanned.
pub(super) const LONGEST: usize = 64;

/// Shuffles the walk, uniformly.
pub(super) fn shuffle(slots: &mut [Slot], rng: &mut impl Rng) {
    let mut order = [0; LONGEST];
    let order = &mut order[..slots.len()];
    for (at, slot) in order.iter_mut().zip(&*slots) {
        *at = slot.at_place;
    }
    order.shuffle(rng);
    for (slot, at) in slots.iter_mut().zip(order) {
        slot.at_place = *at;
    }
}

/// Whether these slots are in a walk: each in one place, in its own unless the walk is shuffled.
#[cfg(feature = "serde")]
pub(super) fn is_walk(slots: &[Slot], walk: Walk) -> bool {
    let mut places: alloc::vec::Vec<_> = slots.iter().map(|slot| slot.at_place).collect();
    if let Walk::Shuffled(_) = walk {
        places.sort_unstable();
    }
    (0..)
        .zip(&places)
        .all(|(place, at)| place == usize::from(*at))
}

/// Where this slot stands in the walk.
pub(super) fn place_of(slots: &[Slot], index: SlotIndex) -> u32 {
    let is_there = |slot: &Slot| u32::from(slot.at_place) == index;
    if is_there(&slots[index as usize]) {
        return index;
    }
    let at = slots.iter().position(is_there);
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
    list: &[Traits],
    slots: &[Slot],
    (wanted, among, place): (&Wanted, Among, u32),
    rng: &mut impl Rng,
    except: impl Iterator<Item = SlotIndex> + Clone,
) -> Option<SlotIndex> {
    let takes = |&(index, slot): &(u8, &Slot)| {
        let number = SlotIndex::from(index);
        wanted.takes(number, &list[usize::from(index)], slot)
            && except.clone().all(|other| other != number)
    };
    let rank = |index, slot| {
        let traits = &list[usize::from(index)];
        Rank::new(wanted, SlotIndex::from(index), traits, slot)
    };
    if wanted.walk == Walk::Weighted {
        let candidates = unordered(slots, among).filter(takes);
        let ranked = candidates.map(|(index, slot)| (rank(index, slot), index));
        return draw_lots(list, ranked, rng);
    }
    let has_turn = |(_, slot): &(u8, &Slot)| among == Among::All || !slot.is_taken;
    let candidates = walk(slots, wanted.walk, place).filter(has_turn);
    let mut best: Option<(Rank, u8)> = None;
    for (index, slot) in candidates.filter(takes) {
        let rank = rank(index, slot);
        if best.is_none_or(|(lowest, _)| rank < lowest) {
            best = Some((rank, index));
            if rank.is_lowest(wanted) {
                break;
            }
        }
    }
    best.map(|(_, index)| SlotIndex::from(index))
}

/// One of the lowest rank, in proportion to their weights.
fn draw_lots(
    list: &[Traits],
    ranked: impl Iterator<Item = (Rank, u8)>,
    rng: &mut impl Rng,
) -> Option<SlotIndex> {
    let weight = |index: u8| u64::from(list[usize::from(index)].weighs());
    let mut lots = [0; LONGEST];
    let (mut len, mut sum, mut lowest) = (0, 0, None);
    for (rank, index) in ranked {
        if lowest.is_none_or(|lowest| rank < lowest) {
            (len, sum, lowest) = (0, 0, Some(rank));
        }
        if lowest == Some(rank) {
            lots[len] = index;
            sum += weight(index);
            len += 1;
        }
    }
    let lots = &lots[..len];
    let drawn = draw(0, sum, rng);
    // Whose lot it is, is how many end before it. No branch asks it: the processor would guess, and as
    // often as not wrongly.
    let (mut end, mut before) = (0, 0);
    for &index in lots {
        end += weight(index);
        before += usize::from(end <= drawn);
    }
    lots.get(before).map(|&index| SlotIndex::from(index))
}

/// Those that have a turn, with their numbers, one after the other as they are numbered. Who had one is
/// not foreseeable where it is drawn, so that no branch asks it either.
fn unordered(slots: &[Slot], among: Among) -> impl Iterator<Item = (u8, &Slot)> {
    let mut left = (0..).zip(slots).fold(0_u64, |left, (bit, slot)| {
        left | (u64::from(among == Among::All || !slot.is_taken) << bit)
    });
    core::iter::from_fn(move || {
        let index = u8::try_from(left.trailing_zeros()).ok()?;
        left &= left.wrapping_sub(1);
        let slot = slots.get(usize::from(index))?;
        Some((index, slot))
    })
}

/// All slots in the order of the walk, with their numbers.
fn walk(slots: &[Slot], walk: Walk, from: u32) -> impl Iterator<Item = (u8, &Slot)> {
    let len = slots.len();
    let start = match walk {
        Walk::Listed | Walk::FirstReady | Walk::Weighted => 0,
        // Where the last had its turn, it is one behind the end.
        Walk::Rotate | Walk::Shuffled(_) | Walk::LeastFailed => from as usize,
    };
    (start..start + len).map(move |at| {
        let place = if at < len { at } else { at - len };
        let index = slots[place].at_place;
        (index, &slots[usize::from(index)])
    })
}

/// The order of candidates, the most important first; of equals, the first in the walk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    special: i8,
    tier: u8,
    failures: u32,
}

impl Rank {
    fn new(wanted: &Wanted, index: SlotIndex, traits: &Traits, slot: &Slot) -> Self {
        Self {
            special: match wanted.special {
                Some((special, Special::First)) if special == index => -1,
                Some((special, Special::Last)) if special == index => 1,
                Some(_) | None => 0,
            },
            tier: traits.in_tier(),
            failures: match wanted.walk {
                Walk::LeastFailed => slot.failures_in(wanted.outage),
                Walk::Listed
                | Walk::FirstReady
                | Walk::Rotate
                | Walk::Shuffled(_)
                | Walk::Weighted => 0,
            },
        }
    }

    /// Whether nobody goes before it.
    fn is_lowest(self, wanted: &Wanted) -> bool {
        let least = match wanted.special {
            Some((_, Special::First)) => -1,
            Some((_, Special::Last)) | None => 0,
        };
        self.special <= least && self.tier == 0 && self.failures == 0
    }
}
