//! What the machine knows of its endpoints, and the walk over them.
//!
//! A list of up to 64 endpoints is looked through at every pick ([`scan`]); over a longer one there
//! is an index ([`long`]), which finds the same without walking the list. Both give the same picks,
//! save where the walk draws lots: there they give the same chances.

mod index;
mod long;
#[cfg(feature = "serde")]
mod memory;
mod scan;
mod slot;
#[cfg(test)]
mod tests;
mod tidy;

use alloc::boxed::Box;

use rand::Rng;

use self::index::Among;
use self::long::Long;
#[cfg(feature = "serde")]
pub(crate) use self::memory::PoolMemory;
pub use self::slot::Condition;
pub(crate) use self::slot::Slot;
use crate::endpoint::{EndpointId, Endpoints, Security, Traits};
use crate::policy::Walk;
use crate::time::Time;

/// The endpoints of one machine: facts by slot, and who had a turn in this sweep.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pool {
    list: Endpoints,
    finder: Finder,
    /// Where a rotating walk goes on.
    place: u32,
    /// The number of the outage, from 1: who is retired is so in one outage alone.
    outage: u32,
}

/// The slots, and how the next one is found.
#[derive(Clone, Debug, PartialEq)]
enum Finder {
    /// They are looked through.
    Scan(Box<[Slot]>),
    /// There is an index over them.
    Long(Box<Long>),
}

/// Where a slot is in the pool.
pub(crate) type SlotIndex = u32;

/// A slot or none, in the room of a slot: there are many clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct MaybeSlot(u32);

impl MaybeSlot {
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) const fn some(slot: SlotIndex) -> Self {
        Self(slot)
    }

    pub(crate) fn get(self) -> Option<SlotIndex> {
        (self != Self::NONE).then_some(self.0)
    }

    /// The slot, to change it.
    pub(crate) fn get_mut(&mut self) -> Option<&mut SlotIndex> {
        (*self != Self::NONE).then_some(&mut self.0)
    }
}

/// What a pick looks for, apart from who had no turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) walk: Walk,
    pub(crate) now: Time,
    /// Those ready by then.
    pub(crate) ready: Time,
    pub(crate) outage: u32,
    /// One that goes before or after all others.
    pub(crate) special: Option<(SlotIndex, Special)>,
    /// This one or nobody.
    pub(crate) only: Option<SlotIndex>,
    /// Those of a lower tier than this.
    pub(crate) below: Option<u8>,
}

impl Wanted {
    /// Whether this slot is wanted, and ready.
    fn takes(&self, index: SlotIndex, traits: &Traits, slot: &Slot) -> bool {
        self.only.is_none_or(|only| only == index)
            && self.has_tier(traits)
            && slot
                .ready_at(self.outage)
                .is_some_and(|at| at <= self.ready)
    }

    fn has_tier(&self, traits: &Traits) -> bool {
        self.below.is_none_or(|tier| traits.in_tier() < tier)
    }
}

/// Where one endpoint goes, whatever the walk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    First,
    Last,
}

/// Whom a census counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    All,
    /// Those who had their turn in this sweep.
    Visited,
}

/// How many there are in which condition; those that are off are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Census {
    /// Active or marked.
    fit: usize,
    suspended: usize,
    retired: usize,
    removed: usize,
}

impl Census {
    /// One more, or one less, in this condition.
    fn count(&mut self, condition: Condition, one: isize) {
        let count = match condition {
            Condition::Active | Condition::Marked => &mut self.fit,
            Condition::Suspended => &mut self.suspended,
            Condition::Retired => &mut self.retired,
            Condition::Removed => &mut self.removed,
            Condition::Off => return,
        };
        *count = count.saturating_add_signed(one);
    }

    /// Those that are in the list and switched on.
    fn sum(&self) -> usize {
        self.fit + self.suspended + self.retired
    }
}

impl Pool {
    pub(crate) fn new(list: Endpoints, walk: Walk, rng: &mut impl Rng) -> Self {
        let slots = (0..list.len()).map(Slot::new);
        let finder = match list.len() {
            ..=scan::LONGEST => Finder::Scan(slots.collect()),
            _ => Finder::Long(Box::new(Long::new(slots.collect(), &list, walk, rng))),
        };
        Self {
            list,
            finder,
            place: 0,
            outage: 1,
        }
    }

    /// The number of the outage.
    pub(crate) fn outage(&self) -> u32 {
        self.outage
    }

    /// An outage ended: whoever was retired in it is so no more.
    pub(crate) fn next_outage(&mut self) {
        self.outage = self.outage.wrapping_add(1).max(1);
    }

    #[inline]
    fn slots(&self) -> &[Slot] {
        match &self.finder {
            Finder::Scan(slots) => slots,
            Finder::Long(long) => long.slots(),
        }
    }

    /// Exchanges its slots with these, and says where a rotating walk goes on and which outage it is; nothing
    /// happens where they are too many to scan, or another list's.
    #[cfg(feature = "sim")]
    pub(crate) fn rest(&mut self, shared: &Endpoints, slots: &mut [Slot]) -> Option<(u8, u32)> {
        let Finder::Scan(own) = &mut self.finder else {
            return None;
        };
        let place = u8::try_from(self.place).ok()?;
        if own.len() != slots.len() || !self.list.is_same(shared) {
            return None;
        }
        own.swap_with_slice(slots);
        Some((place, self.outage))
    }

    /// Takes back what [`rest`](Self::rest) gave.
    #[cfg(feature = "sim")]
    pub(crate) fn rise(&mut self, place: u8, outage: u32, slots: &mut [Slot]) {
        (self.place, self.outage) = (place.into(), outage);
        if let Finder::Scan(own) = &mut self.finder
            && own.len() == slots.len()
        {
            own.swap_with_slice(slots);
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
        &self.slots()[index as usize]
    }

    /// A slot, to change it.
    #[inline]
    pub(crate) fn slot_mut(&mut self, index: SlotIndex) -> &mut Slot {
        match &mut self.finder {
            Finder::Scan(slots) => &mut slots[index as usize],
            Finder::Long(long) => long.slot_mut(index),
        }
    }

    /// Its condition in this outage.
    pub(crate) fn condition(&self, index: SlotIndex) -> Condition {
        self.slot(index).condition(self.outage)
    }

    /// When it is ready in this outage, as far as its condition goes: never, for some.
    pub(crate) fn ready_at(&self, index: SlotIndex) -> Option<Time> {
        self.slot(index).ready_at(self.outage)
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
    pub(crate) fn add(
        &mut self,
        traits: Traits,
        walk: Walk,
        rng: &mut impl Rng,
    ) -> Option<SlotIndex> {
        if self
            .list
            .last()
            .is_some_and(|last| last.id() >= traits.id())
        {
            return None;
        }
        let len = self.slots().len();
        let index = SlotIndex::try_from(len).ok()?;
        self.list.make_mut().push(traits);
        match &mut self.finder {
            Finder::Long(long) => long.push(traits, rng),
            Finder::Scan(slots) => {
                let mut more = core::mem::take(slots).into_vec();
                more.push(Slot::new(len));
                *slots = more.into_boxed_slice();
                if len >= scan::LONGEST {
                    self.build_index(walk, rng);
                }
            }
        }
        Some(index)
    }

    /// The list is too long to scan from now on. Who had a turn, had it.
    fn build_index(&mut self, walk: Walk, rng: &mut impl Rng) {
        let slots = match &mut self.finder {
            Finder::Scan(slots) => core::mem::take(slots).into_vec(),
            Finder::Long(_) => return,
        };
        let mut long = Long::new(slots, &self.list, walk, rng);
        long.look_at_all();
        self.finder = Finder::Long(Box::new(long));
    }

    /// Shuffles the walk, uniformly. A long list has its order already, or draws it.
    pub(crate) fn shuffle(&mut self, rng: &mut impl Rng) {
        if let Finder::Scan(slots) = &mut self.finder {
            scan::shuffle(slots, rng);
        }
        self.place = 0;
    }

    /// Its turn in this sweep is taken, and a rotating walk goes on behind it.
    pub(crate) fn take_turn(&mut self, index: SlotIndex) {
        self.skip_turn(index);
        self.place = 1 + match &self.finder {
            Finder::Scan(slots) => scan::place_of(slots, index),
            Finder::Long(long) => long.place_of(index),
        };
    }

    /// Its turn in this sweep is taken, wherever the walk stands.
    pub(crate) fn skip_turn(&mut self, index: SlotIndex) {
        match &mut self.finder {
            Finder::Scan(slots) => slots[index as usize].is_taken = true,
            Finder::Long(long) => long.take_turn(index),
        }
    }

    /// It has a turn in this sweep, whether it had one or not.
    pub(crate) fn give_turn(&mut self, index: SlotIndex) {
        match &mut self.finder {
            Finder::Scan(slots) => slots[index as usize].is_taken = false,
            Finder::Long(long) => long.give_turn(index),
        }
    }

    pub(crate) fn had_turn(&self, index: SlotIndex) -> bool {
        match &self.finder {
            Finder::Scan(slots) => slots[index as usize].is_taken,
            Finder::Long(long) => long.had_turn(index),
        }
    }

    /// Everybody's turn again.
    pub(crate) fn next_sweep(&mut self) {
        match &mut self.finder {
            Finder::Scan(slots) => slots.iter_mut().for_each(|slot| slot.is_taken = false),
            Finder::Long(long) => long.next_sweep(),
        }
    }

    /// The next endpoint of this sweep among those that are wanted, except these.
    pub(crate) fn pick_fresh(
        &mut self,
        wanted: &Wanted,
        rng: &mut impl Rng,
        except: impl Iterator<Item = SlotIndex> + Clone,
    ) -> Option<SlotIndex> {
        self.pick((wanted, Among::Fresh, self.place), rng, except)
    }

    /// The same, whoever had a turn.
    pub(crate) fn pick_whoever(
        &mut self,
        wanted: &Wanted,
        rng: &mut impl Rng,
        except: impl Iterator<Item = SlotIndex> + Clone,
    ) -> Option<SlotIndex> {
        self.pick((wanted, Among::All, self.place), rng, except)
    }

    /// The same; whoever had a turn, if nobody else is there.
    pub(crate) fn pick_any(
        &mut self,
        wanted: &Wanted,
        rng: &mut impl Rng,
        except: impl Iterator<Item = SlotIndex> + Clone,
    ) -> Option<SlotIndex> {
        self.pick_fresh(wanted, rng, except.clone())
            .or_else(|| self.pick_whoever(wanted, rng, except))
    }

    fn pick(
        &mut self,
        how: (&Wanted, Among, u32),
        rng: &mut impl Rng,
        except: impl Iterator<Item = SlotIndex> + Clone,
    ) -> Option<SlotIndex> {
        match &mut self.finder {
            Finder::Scan(slots) => scan::pick(&self.list, slots, how, rng, except),
            Finder::Long(long) => long.pick(&self.list, how, rng, except),
        }
    }

    /// From when on one of the wanted is ready, except these; a time that is past means now.
    pub(crate) fn soonest(
        &mut self,
        wanted: &Wanted,
        except: impl Iterator<Item = SlotIndex> + Clone,
    ) -> Option<Time> {
        match &mut self.finder {
            Finder::Scan(slots) => scan::soonest(slots, wanted, except),
            Finder::Long(long) => long.soonest(wanted, except),
        }
    }

    /// Whether no other endpoint is in the list and switched on.
    pub(crate) fn is_alone(&mut self, index: SlotIndex, outage: u32) -> bool {
        let is_in = self.slot(index).condition(outage) < Condition::Off;
        self.census(Of::All, outage).sum() == usize::from(is_in)
    }

    /// Whether every endpoint in the list that is not switched off is retired, and one is.
    pub(crate) fn all_retired(&mut self, outage: u32) -> bool {
        let census = self.census(Of::All, outage);
        census.retired > 0 && census.retired == census.sum()
    }

    /// Whether all who had their turn in this sweep, as far as they are still in the list and switched
    /// on, are suspended, and one is.
    pub(crate) fn all_refused(&mut self, outage: u32) -> bool {
        let census = self.census(Of::Visited, outage);
        census.suspended > 0 && census.suspended == census.sum()
    }

    fn census(&mut self, of: Of, outage: u32) -> Census {
        let slots = match &mut self.finder {
            Finder::Scan(slots) => slots,
            Finder::Long(long) => return long.census(of, outage),
        };
        let mut census = Census::default();
        for slot in slots.iter().filter(|slot| of == Of::All || slot.is_taken) {
            census.count(slot.condition(outage), 1);
        }
        census
    }

    /// Whether the list ever had an endpoint of a lower tier than this.
    pub(crate) fn has_tier_below(&self, tier: u8) -> bool {
        match &self.finder {
            Finder::Scan(_) => self.list.iter().any(|traits| traits.in_tier() < tier),
            Finder::Long(long) => long.has_tier_below(tier),
        }
    }
}
