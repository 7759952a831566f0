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
