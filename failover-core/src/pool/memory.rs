//! The pool of a short list, in a form that can be written and read.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::endpoint::{Endpoints, Traits};
use crate::policy::Walk;
use crate::pool::scan::{self, LONGEST};
use crate::pool::{Finder, Pool, Slot, SlotIndex};

/// A pool without an index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolMemory {
    list: Vec<Traits>,
    slots: Vec<Slot>,
    place: u32,
    outage: u32,
}

impl Pool {
    /// What it knows; nothing for a list so long that it has an index.
    pub(crate) fn memory(&self) -> Option<PoolMemory> {
        let Finder::Scan(slots) = &self.finder else {
            return None;
        };
        Some(PoolMemory {
            list: self.list.to_vec(),
            slots: slots.to_vec(),
            place: self.place,
            outage: self.outage,
        })
    }

    /// The pool that knew this, under a policy with this walk; nothing if there can be none.
    pub(crate) fn remembering(memory: PoolMemory, walk: Walk) -> Option<Self> {
        let PoolMemory {
            list,
            slots,
            place,
            outage,
        } = memory;
        let ascends = list.windows(2).all(|pair| pair[0].id() < pair[1].id());
        let fits = list.len() == slots.len() && list.len() <= LONGEST;
        let sound = list.iter().all(|traits| traits.is_sound())
            && list
                .iter()
                .zip(&slots)
                .all(|(traits, slot)| slot.route < traits.routes());
        let placed = place as usize <= slots.len();
        (ascends && fits && sound && placed && scan::is_walk(&slots, walk) && outage > 0).then(
            || Self {
                list: Endpoints::from(list),
                finder: Finder::Scan(slots.into_boxed_slice()),
                place,
                outage,
            },
        )
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> SlotIndex {
        SlotIndex::try_from(self.slots().len()).unwrap_or(SlotIndex::MAX)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    use super::*;
    use crate::endpoint::{EndpointId, Security};

    #[test]
    fn what_no_pool_could_have_written_is_refused() {
        assert!(reads(2, |_| {}));
        assert!(reads(LONGEST, |_| {}));
        assert!(!reads(LONGEST, |memory| {
            memory.list.push(traits(LONGEST));
            memory.slots.push(Slot::new(LONGEST));
        }));
        assert!(!reads(2, |memory| memory.slots.truncate(1)));
        assert!(!reads(2, |memory| memory.list.truncate(1)));
        assert!(!reads(2, |memory| memory.list[1] = traits(0)), "twice");
        assert!(!reads(2, |memory| memory.list.swap(0, 1)), "downwards");
        assert!(!reads(2, |memory| memory.slots[1].at_place = 0), "no walk");
        assert!(!reads(2, |memory| memory.outage = 0), "from 1");
    }

    #[test]
    fn a_route_and_a_place_that_are_not_there_are_refused() {
        for slot in [0, 1] {
            assert!(!reads(2, |memory| memory.slots[slot].route = 1), "{slot}");
        }
        assert!(reads(2, |memory| memory.place = 2), "one behind the end");
        assert!(!reads(2, |memory| memory.place = 3));
    }

    #[test]
    fn an_endpoint_that_no_builder_makes_is_refused() {
        let text = |weight| {
            let pool = pool(2).memory().unwrap();
            let text = serde_json::to_string(&pool).unwrap();
            let edited = text.replacen("\"weight\":1", weight, 1);
            let memory = serde_json::from_str(&edited).unwrap();
            Pool::remembering(memory, Walk::Listed).is_some()
        };
        assert!(text("\"weight\":2"));
        assert!(!text("\"weight\":0"));
    }

    /// Whether a pool of so many endpoints is read again after this edit.
    fn reads(len: usize, edit: impl FnOnce(&mut PoolMemory)) -> bool {
        let mut memory = pool(len).memory().unwrap();
        edit(&mut memory);
        Pool::remembering(memory, Walk::Listed).is_some()
    }

    fn pool(len: usize) -> Pool {
        let list: Vec<Traits> = (0..len).map(traits).collect();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        Pool::new(list.into(), Walk::Listed, &mut rng)
    }

    fn traits(n: usize) -> Traits {
        Traits::new(EndpointId::new(n as u32)).route(Security::Plain)
    }
}
