//! Who is next, and when: the questions in the order of their priority.

use rand::Rng;

use crate::machine::round::Plan;
use crate::machine::{CloseReason, Machine, Next, Stage};
use crate::policy::{
    CustomDelay, DelayAnswer, DelayAsked, Every, Hooks, Limit, Lost, Shuffle, Start, Walk,
};
use crate::pool::{Slot, SlotIndex};
use crate::time::{Time, nanos};

impl Machine {
    /// Shall it end? Is there anybody? Who is next? When?
    pub(super) fn decide(&mut self, hooks: &mut dyn Hooks, now: Time) -> Next {
        if self.pool.len() == 0 {
            return Next::Starve;
        }
        if let Some(reason) = self.limit_reached(now) {
            return Next::Close(reason);
        }
        let Some((place, slot)) = self.pick(now) else {
            return Next::Starve;
        };
        // Completing a sweep may have reached its limit.
        if let Some(reason) = self.limit_reached(now) {
            return Next::Close(reason);
        }
        let at = self.time_for(slot, hooks, now);
        let route = self.pool.slot(slot).first_route;
        Next::Dial(Plan {
            slot,
            place,
            route,
            at,
        })
    }

    fn limit_reached(&self, now: Time) -> Option<CloseReason> {
        let limits = self.limits();
        if let Limit::AtMost(most) = limits.turns
            && self.outage.failed_turns >= most
        {
            return Some(CloseReason::Turns(most));
        }
        if let Limit::AtMost(most) = limits.sweeps
            && self.outage.sweeps >= most
        {
            return Some(CloseReason::Sweeps(most));
        }
        if let Limit::AtMost(most) = limits.per_endpoint
            && (most == 0 || self.pool.slots().iter().all(|slot| self.is_retired(slot)))
        {
            return Some(CloseReason::PerEndpoint(most));
        }
        if let Stage::StartUp { .. } = self.stage
            && self.pool.slots().iter().all(|slot| slot.benched > 0)
        {
            return Some(CloseReason::AllRefused);
        }
        self.elapsed(now)
    }

    /// The next endpoint: one of this sweep that is ready; else the first of the next sweep; else
    /// the one that is ready soonest.
    fn pick(&mut self, now: Time) -> Option<(usize, SlotIndex)> {
        if let Some(found) = self.pick_in_sweep(now) {
            return Some(found);
        }
        if self.candidates().any(|(_, slot)| slot.ready_at <= now) {
            self.next_sweep();
            return self.pick_in_sweep(now);
        }
        let soonest = self.candidates().map(|(_, slot)| slot.ready_at).min()?;
        if self.pick_in_sweep(soonest).is_none() {
            self.next_sweep();
        }
        self.pick_in_sweep(soonest)
    }

    /// The next endpoint that has not had its turn in this sweep and is ready at this time.
    fn pick_in_sweep(&self, ready: Time) -> Option<(usize, SlotIndex)> {
        let order = self.policy.order();
        let lost_goes = self.round.place_of_lost(order.lost);
        let lost = self.round.lost.and_then(|id| self.pool.find(id));
        let start = match order.walk {
            Walk::Listed => 0,
            Walk::Rotate | Walk::Shuffled(_) => self.round.place,
        };
        let mut waiting = self.pool.walk_from(start).filter(|&(_, index)| {
            let slot = self.pool.slot(index);
            slot.round != self.round.number
                && slot.ready_at <= ready
                && self.is_candidate(index, slot)
        });
        let is_lost = |&(_, index): &(usize, SlotIndex)| Some(index) == lost;
        match lost_goes {
            Lost::InPlace | Lost::TurnTaken => waiting.next(),
            Lost::First if self.outage.dials == 0 => {
                let mut others = None;
                for found in waiting {
                    if is_lost(&found) {
                        return Some(found);
                    }
                    others = others.or(Some(found));
                }
                others
            }
            Lost::First => waiting.next(),
            Lost::Last => {
                let mut last = None;
                for found in waiting {
                    if !is_lost(&found) {
                        return Some(found);
                    }
                    last = Some(found);
                }
                last
            }
        }
    }

    fn next_sweep(&mut self) {
        if self.round.turns > 0 {
            self.outage.sweeps = self.outage.sweeps.saturating_add(1);
        }
        self.round.begin();
        self.round.owes_wait = true;
        if self.policy.order().walk == Walk::Shuffled(Shuffle::EachSweep) {
            self.pool.shuffle(&mut self.rng);
        }
    }

    /// When this endpoint may be dialled: the pace's wait from now, no sooner than it is ready and
    /// than the hard floor allows.
    fn time_for(&mut self, index: SlotIndex, hooks: &mut dyn Hooks, now: Time) -> Time {
        let slot = self.pool.slot(index);
        let (floor, ready_at, ended) = (slot.floor, slot.ready_at, slot.ended);
        let paced = match self.policy.pace().every {
            _ if self.is_first_dial() => now.after(self.first_wait(index)),
            Every::Attempt if self.outage.dials == 0 => now,
            Every::Sweep if !self.round.owes_wait => now,
            Every::Attempt | Every::Sweep => {
                self.outage.wait = self.policy.next_wait(self.outage.wait);
                self.round.owes_wait = false;
                now.after(self.wait(index, self.outage.wait, hooks))
            }
            Every::Endpoint if slot.failures == 0 => now,
            Every::Endpoint => {
                let wait = self.policy.next_wait(slot.wait);
                self.pool.slot_mut(index).wait = wait;
                ended.after(self.wait(index, wait, hooks))
            }
        };
        paced.max(now).max(floor).max(ready_at)
    }

    /// Whether this is the first dial after a loss.
    fn is_first_dial(&self) -> bool {
        self.stage == Stage::After && self.outage.dials == 0 && !self.round.owes_wait
    }

    fn first_wait(&mut self, index: SlotIndex) -> u64 {
        let first = nanos(self.policy.pace().first);
        if first == 0 {
            return 0;
        }
        let security = self.security(index);
        self.policy.spread(first, security, &mut self.rng)
    }

    /// A wait in nanoseconds: this one spread by the jitter, or the hook's.
    fn wait(&mut self, index: SlotIndex, base: u64, hooks: &mut dyn Hooks) -> u64 {
        self.outage.waits = self.outage.waits.saturating_add(1);
        let security = self.security(index);
        let suggested = self.policy.spread(base, security, &mut self.rng);
        let pace = self.policy.pace();
        if pace.custom == CustomDelay::Off {
            return suggested;
        }
        let answer = hooks.delay(&DelayAsked {
            waits: self.outage.waits,
            dials: self.outage.dials,
            endpoint: self.pool.slot(index).traits.id(),
            security,
            failure: self.outage.last_failure,
            suggested: core::time::Duration::from_nanos(suggested),
            random: self.rng.next_u64(),
        });
        let (min, cap) = match pace.custom {
            CustomDelay::Unbounded => (0, u64::MAX),
            CustomDelay::Bounded | CustomDelay::Off => (nanos(pace.min), nanos(pace.cap)),
        };
        match answer {
            DelayAnswer::AsSuggested => suggested,
            DelayAnswer::Exactly(delay) => nanos(delay).clamp(min, cap),
            DelayAnswer::PlusJitter(delay) => {
                // Spread what the pace can hold; what an unbounded hook asks beyond it is added.
                let spread = self.policy.spread(nanos(delay), security, &mut self.rng);
                match pace.custom {
                    CustomDelay::Unbounded => spread.max(nanos(delay)),
                    CustomDelay::Bounded | CustomDelay::Off => spread,
                }
            }
        }
    }

    fn security(&self, index: SlotIndex) -> crate::endpoint::Security {
        let slot = self.pool.slot(index);
        slot.traits.security(slot.first_route)
    }

    fn candidates(&self) -> impl Iterator<Item = (SlotIndex, &Slot)> {
        (0..)
            .zip(self.pool.slots())
            .filter(|(index, slot)| self.is_candidate(*index, slot))
    }

    /// Whether it may be dialled at all in this outage, now or later.
    fn is_candidate(&self, index: SlotIndex, slot: &Slot) -> bool {
        if self.is_retired(slot) {
            return false;
        }
        match (self.stage, self.policy.start()) {
            (
                Stage::StartUp {
                    pinned: Some(pinned),
                },
                Start::FirstOnly,
            ) => index == pinned,
            (Stage::StartUp { .. }, _) | (Stage::After, _) => true,
        }
    }

    fn is_retired(&self, slot: &Slot) -> bool {
        slot.retired_in == self.outage.number
    }
}
