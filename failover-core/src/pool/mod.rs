//! What the machine knows of its endpoints, and the walk over them.

mod slot;
mod turns;

use alloc::boxed::Box;
use alloc::vec::Vec;

use rand::Rng;
use rand::seq::SliceRandom;

pub use self::slot::Condition;
pub(crate) use self::slot::Slot;
use self::turns::Turns;
use crate::endpoint::{EndpointId, Endpoints, Security, Traits};
use crate::policy::{Walk, draw};
use crate::time::Time;

/// The endpoints of one machine: facts by slot, and who had a turn in this sweep.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pool {
    list: Endpoints,
    slots: Vec<Slot>,
    /// The slots in the order of a shuffled walk; empty for the others.
    order: Box<[SlotIndex]>,
    /// Who had a turn in this sweep.
    taken: Turns,
    /// Where a rotating walk goes on.
    place: u32,
}

/// Where a slot is in the pool.
pub(crate) type SlotIndex = u32;

/// What a pick looks for, apart from who is ready and had no turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) walk: Walk,
    /// Those ready by then.
    pub(crate) ready: Time,
    pub(crate) outage: u32,
    /// One that goes before or after all others.
    pub(crate) special: Option<(SlotIndex, Special)>,
}

/// Where one endpoint goes, whatever the walk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    First,
    Last,
}

/// The order of candidates, the most important first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    special: i8,
    tier: u8,
    failures: u32,
    steps: u32,
}

impl Pool {
    pub(crate) fn new(list: Endpoints, walk: Walk) -> Self {
        let n = SlotIndex::try_from(list.len()).unwrap_or(SlotIndex::MAX);
        let mut slots = Vec::with_capacity(list.len());
        slots.resize(list.len(), Slot::new());
        Self {
            list,
            slots,
            order: match walk {
                Walk::Shuffled(_) => (0..n).collect(),
                Walk::Listed
                | Walk::FirstReady
                | Walk::Rotate
                | Walk::Weighted
                | Walk::LeastFailed => Box::default(),
            },
            taken: Turns::default(),
            place: 0,
        }
    }

    pub(crate) fn find(&self, id: EndpointId) -> Option<SlotIndex> {
        SlotIndex::try_from(self.list.find(id)?).ok()
    }

    pub(crate) fn id(&self, index: SlotIndex) -> EndpointId {
        self.traits(index).id()
    }

    pub(crate) fn traits(&self, index: SlotIndex) -> Traits {
        self.list[index as usize]
    }

    pub(crate) fn slot(&self, index: SlotIndex) -> &Slot {
        &self.slots[index as usize]
    }

    pub(crate) fn slot_mut(&mut self, index: SlotIndex) -> &mut Slot {
        &mut self.slots[index as usize]
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = (SlotIndex, &Slot)> {
        (0..).zip(&self.slots)
    }

    /// The security of the route that its next dial begins with.
    pub(crate) fn security(&self, index: SlotIndex) -> Security {
        self.traits(index).security(self.slot(index).route)
    }

    pub(crate) fn learn(&mut self, index: SlotIndex, route: u8, security: Security) {
        if self.traits(index).security(route) != security {
            self.list.make_mut()[index as usize].learn(route, security);
        }
    }

    /// Adds an endpoint at the end. An id that is not above all others was used before: refused.
    pub(crate) fn add(&mut self, traits: Traits) -> Option<SlotIndex> {
        if self
            .list
            .last()
            .is_some_and(|last| last.id() >= traits.id())
        {
            return None;
        }
        let index = SlotIndex::try_from(self.slots.len()).ok()?;
        self.list.make_mut().push(traits);
        self.slots.push(Slot::new());
        if !self.order.is_empty() || index == 0 {
            let mut order = core::mem::take(&mut self.order).into_vec();
            order.push(index);
            self.order = order.into_boxed_slice();
        }
        Some(index)
    }

    /// Shuffles the walk, uniformly.
    pub(crate) fn shuffle(&mut self, rng: &mut impl Rng) {
        self.order.shuffle(rng);
        self.place = 0;
    }

    /// Its turn in this sweep is taken, and a rotating walk goes on behind it.
    pub(crate) fn take_turn(&mut self, index: SlotIndex) {
        self.taken.take(index);
        self.place = self.place_of(index) + 1;
    }

    /// Its turn in this sweep is taken, wherever the walk stands.
    pub(crate) fn skip_turn(&mut self, index: SlotIndex) {
        self.taken.take(index);
    }

    pub(crate) fn had_turn(&self, index: SlotIndex) -> bool {
        self.taken.has(index)
    }

    /// Everybody's turn again.
    pub(crate) fn next_sweep(&mut self) {
        self.taken.clear();
    }

    /// The next endpoint of this sweep among those that `may`.
    pub(crate) fn pick_fresh(
        &self,
        wanted: Wanted,
        rng: &mut impl Rng,
        may: impl Fn(SlotIndex) -> bool,
    ) -> Option<SlotIndex> {
        self.pick_whoever(wanted, rng, |index| !self.taken.has(index) && may(index))
    }

    /// The next endpoint, whoever had a turn.
    pub(crate) fn pick_whoever(
        &self,
        wanted: Wanted,
        rng: &mut impl Rng,
        may: impl Fn(SlotIndex) -> bool,
    ) -> Option<SlotIndex> {
        let open = |&(_, index): &(u32, SlotIndex)| {
            let ready_at = self.slot(index).ready_at(wanted.outage);
            ready_at.is_some_and(|at| at <= wanted.ready) && may(index)
        };
        let rank = |(steps, index): (u32, SlotIndex)| Rank {
            special: match wanted.special {
                Some((special, Special::First)) if special == index => -1,
                Some((special, Special::Last)) if special == index => 1,
                Some(_) | None => 0,
            },
            tier: self.traits(index).in_tier(),
            failures: match wanted.walk {
                Walk::LeastFailed => self.slot(index).failures_in(wanted.outage),
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
        let candidates = || self.walk(wanted.walk).filter(open);
        let best = candidates().map(|found| (rank(found), found.1)).min()?;
        if wanted.walk != Walk::Weighted {
            return Some(best.1);
        }
        let equals = || candidates().filter(|&found| rank(found) == best.0);
        let weight = |index| u64::from(self.traits(index).weighs());
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

    /// The next endpoint, whoever had a turn, among those that `may`.
    pub(crate) fn pick_any(
        &self,
        wanted: Wanted,
        rng: &mut impl Rng,
        may: impl Fn(SlotIndex) -> bool,
    ) -> Option<SlotIndex> {
        self.pick_fresh(wanted, rng, &may)
            .or_else(|| self.pick_whoever(wanted, rng, may))
    }

    /// Whether no other endpoint is in the list and switched on.
    pub(crate) fn is_alone(&self, index: SlotIndex, outage: u32) -> bool {
        self.slots()
            .all(|(other, slot)| other == index || slot.condition(outage) >= Condition::Off)
    }

    /// All slots in the order of the walk, counted from 0.
    fn walk(&self, walk: Walk) -> impl Iterator<Item = (u32, SlotIndex)> {
        let n = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let start = match walk {
            Walk::Listed | Walk::FirstReady | Walk::Weighted => 0,
            Walk::Rotate | Walk::Shuffled(_) | Walk::LeastFailed => self.place,
        };
        (0..n).map(move |steps| {
            let place = (start + steps) % n;
            let index = self.order.get(place as usize).copied().unwrap_or(place);
            (steps, index)
        })
    }

    fn place_of(&self, index: SlotIndex) -> u32 {
        let at = self.order.iter().position(|&slot| slot == index);
        at.and_then(|at| u32::try_from(at).ok()).unwrap_or(index)
    }
}
