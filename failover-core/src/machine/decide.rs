//! Who is next, and when: the questions in the order of their priority.

use core::time::Duration;

use rand::Rng;

use crate::endpoint::Security;
use crate::machine::outage::{Plan, SweepWait};
use crate::machine::{CloseReason, Cx, Machine, Next, Stage};
use crate::policy::{
    Choice, ChoiceAsked, CustomDelay, DelayAnswer, DelayAsked, Every, Limit, Lost, NobodyReady,
    Shuffle, Start, Walk,
};
use crate::pool::{Condition, SlotIndex, Special, Wanted};
use crate::time::{Time, nanos};

/// Who is next, and whether its rest is heeded.
enum Picked {
    Ready(SlotIndex),
    /// Dialled although it rests.
    Resting(SlotIndex),
    Nobody,
    Closes(CloseReason),
}

impl Machine {
    /// Shall it end? Is there anybody? Who is next? When?
    pub(super) fn decide(&mut self, cx: &mut Cx<'_>) -> Next {
        if let Some(reason) = self.limit_reached(cx.now) {
            return Next::Close(reason);
        }
        let sweeps = self.outage.sweeps;
        let picked = self.pick(cx.now);
        if self.outage.sweeps != sweeps
            && let Some(reason) = self.limit_reached(cx.now)
        {
            return Next::Close(reason);
        }
        self.decide_when(picked, cx)
    }

    /// The same for a connection that is left: that is no failure, and no limit is asked.
    pub(super) fn decide_whom(&mut self, cx: &mut Cx<'_>) -> Next {
        let picked = self.pick(cx.now);
        self.decide_when(picked, cx)
    }

    fn decide_when(&mut self, picked: Picked, cx: &mut Cx<'_>) -> Next {
        let (slot, heeds_rest) = match picked {
            Picked::Ready(slot) => (slot, true),
            Picked::Resting(slot) => (slot, false),
            Picked::Nobody => return Next::Starve,
            Picked::Closes(reason) => return Next::Close(reason),
        };
        let (slot, own_wait) = self.choose(slot, cx);
        let at = match own_wait {
            Some(wait) => cx.now + wait,
            None => self.paced(slot, cx),
        };
        let at = at.max(match heeds_rest {
            true => self.pool.slot(slot).not_before(),
            false => self.pool.slot(slot).not_before_resting(),
        });
        let route = self.pool.slot(slot).route;
        Next::Dial(Plan { at, slot, route })
    }

    #[inline]
    pub(super) fn limit_reached(&mut self, now: Time) -> Option<CloseReason> {
        self.limits()?;
        self.which_limit_reached(now)
    }

    #[inline(never)]
    fn which_limit_reached(&mut self, now: Time) -> Option<CloseReason> {
        let limits = *self.limits()?;
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
        if limits.per_endpoint == Limit::AtMost(0) {
            return Some(CloseReason::PerEndpoint(0));
        }
        if let Some(most) = self.policy.retires_after(limits)
            && self.all_retired()
        {
            return Some(CloseReason::PerEndpoint(most));
        }
        self.elapsed(now)
    }

    /// Whether every endpoint that the client may dial at this stage, and that is in the list and not
    /// switched off, is retired, and one is.
    fn all_retired(&mut self) -> bool {
        match self.pinned() {
            Some(slot) => self.pool.condition(slot) == Condition::Retired,
            None => self.pool.all_retired(self.pool.outage()),
        }
    }

    /// The next endpoint: one of this sweep that is ready; else the first of the next sweep; else
    /// what the policy says when all rest.
    fn pick(&mut self, now: Time) -> Picked {
        self.end_sweep_at_first_ready(now);
        if let Some(found) = self.pick_in_sweep(now) {
            return Picked::Ready(found);
        }
        let Some(soonest) = self.soonest() else {
            return Picked::Nobody;
        };
        if let Stage::StartUp { .. } = self.stage
            && self.policy.start() != Start::Persevere
            && soonest > now
            && self.pool.all_refused(self.pool.outage())
        {
            return Picked::Closes(CloseReason::AllRefused);
        }
        let ready = soonest.max(now);
        let left = match soonest > now {
            true => self.pick_later_in_sweep(ready),
            // Of those that are ready now nobody has a turn left.
            false => None,
        };
        let found = match left {
            Some(left) => Some(left),
            None => {
                self.next_sweep();
                self.pick_in_sweep(ready)
            }
        };
        match (found, self.policy.nobody_ready()) {
            (None, _) => Picked::Nobody,
            (Some(found), _) if soonest <= now => Picked::Ready(found),
            (Some(found), NobodyReady::Wait) => Picked::Ready(found),
            (Some(found), NobodyReady::LeastBad) => Picked::Resting(found),
            (Some(_), NobodyReady::Fail) => Picked::Closes(CloseReason::NobodyReady),
        }
    }

    fn pick_later_in_sweep(&mut self, ready: Time) -> Option<SlotIndex> {
        self.end_sweep_at_first_ready(ready);
        self.pick_in_sweep(ready)
    }

    /// Where the first that is ready goes every time, a sweep ends when that one had its turn.
    fn end_sweep_at_first_ready(&mut self, ready: Time) {
        if self.policy.order().walk != Walk::FirstReady {
            return;
        }
        let wanted = self.wanted_in_sweep(ready);
        let in_flight = self.attempts.iter().map(|attempt| attempt.slot);
        let first = self.pool.pick_whoever(&wanted, &mut self.rng, in_flight);
        if first.is_some_and(|first| self.pool.had_turn(first)) {
            self.next_sweep();
        }
    }

    /// When the first candidate is ready.
    fn soonest(&mut self) -> Option<Time> {
        let wanted = self.wanted_by(self.latest);
        let in_flight = self.attempts.iter().map(|attempt| attempt.slot);
        self.pool.soonest(&wanted, in_flight)
    }

    /// The next endpoint that has not had its turn in this sweep and is ready at this time.
    pub(super) fn pick_in_sweep(&mut self, ready: Time) -> Option<SlotIndex> {
        let wanted = self.wanted_in_sweep(ready);
        let in_flight = self.attempts.iter().map(|attempt| attempt.slot);
        self.pool.pick_fresh(&wanted, &mut self.rng, in_flight)
    }

    /// Whoever is ready at this time, the lost server in its place.
    fn wanted_in_sweep(&self, ready: Time) -> Wanted {
        let order = self.policy.order();
        let lost = self.lost();
        let special = match self.outage.place_of_lost(order.lost) {
            Lost::InPlace | Lost::TurnTaken => None,
            Lost::First if self.outage.dials == 0 => Some(Special::First),
            Lost::First => None,
            Lost::Last => Some(Special::Last),
        };
        Wanted {
            special: lost.zip(special),
            ..self.wanted_by(ready)
        }
    }

    /// Whoever is ready at this time and may be dialled at this stage.
    pub(super) fn wanted_by(&self, ready: Time) -> Wanted {
        Wanted {
            walk: self.policy.order().walk,
            now: self.latest,
            ready,
            outage: self.pool.outage(),
            special: None,
            only: self.pinned(),
            below: None,
        }
    }

    fn next_sweep(&mut self) {
        self.outage.next_sweep();
        self.pool.next_sweep();
        if self.policy.order().walk == Walk::Shuffled(Shuffle::EachSweep) {
            self.pool.shuffle(&mut self.rng);
        }
    }

    /// Asks the user's hook; an endpoint that may not be dialled now is not heeded.
    pub(super) fn choose(
        &self,
        suggested: SlotIndex,
        cx: &mut Cx<'_>,
    ) -> (SlotIndex, Option<Duration>) {
        let choice = cx.hooks.choose(&ChoiceAsked {
            dials: self.outage.dials,
            lost: self.lost().map(|slot| self.pool.id(slot)),
            suggested: self.pool.id(suggested),
        });
        let (endpoint, wait) = match choice {
            Choice::AsSuggested => return (suggested, None),
            Choice::Endpoint(endpoint) => (endpoint, None),
            Choice::EndpointAfter(endpoint, wait) => (endpoint, Some(wait)),
        };
        let found = self.pool.find(endpoint).filter(|&index| {
            let ready = self.pool.ready_at(index);
            ready.is_some_and(|at| at <= cx.now) && self.may_be_dialled(index)
        });
        match found {
            Some(index) => (index, wait),
            None => (suggested, None),
        }
    }

    /// When the pace lets this endpoint be dialled. The first dial after a loss may have to wait for
    /// that and for its sweep: for the longer, unless the hook says how long (law L13).
    fn paced(&mut self, index: SlotIndex, cx: &mut Cx<'_>) -> Time {
        let wait = match self.policy.pace().every {
            Every::Attempt if self.outage.dials == 0 => None,
            Every::Sweep if self.outage.sweep_wait != SweepWait::Due => None,
            Every::Attempt | Every::Sweep => {
                self.outage.sweep_wait = SweepWait::Taken;
                let security = self.pool.security(index);
                self.outage.wait = self
                    .policy
                    .next_wait(self.outage.wait, security, &mut self.rng);
                Some(self.wait(index, self.outage.wait, cx))
            }
            // Booked with its failure; then a hook has said how long.
            Every::Endpoint => {
                let failed = self.pool.slot(index).failures_in(self.pool.outage()) > 0;
                (failed && self.policy.pace().custom != CustomDelay::Off).then_some(0)
            }
            Every::Return => match self.pool.slot(index).failures_in(self.pool.outage()) {
                0 => None,
                _ => {
                    let wait = self.pool.slot(index).wait();
                    Some(self.wait(index, wait, cx))
                }
            },
        };
        cx.now.after(match wait {
            Some(wait) if self.policy.pace().custom != CustomDelay::Off => wait,
            Some(wait) => wait.max(self.first_wait(index)),
            None => self.first_wait(index),
        })
    }

    /// Until when the wait that is under way holds for an endpoint that was not waited for: as long
    /// as if it began now.
    pub(super) fn wait_under_way(&mut self, index: SlotIndex, cx: &mut Cx<'_>) -> Time {
        let pace = self.policy.pace();
        let is_first = self.outage.dials == 0;
        let (every, first) = (pace.every, pace.first);
        cx.now.after(match every {
            Every::Attempt if !is_first => self.wait(index, self.outage.wait, cx),
            Every::Attempt | Every::Sweep | Every::Endpoint | Every::Return => {
                let is_due = is_first && self.was_connected() && !first.is_zero();
                if is_due { self.spread(first, index) } else { 0 }
            }
        })
    }

    /// Books the wait of an endpoint that failed, under a pace per endpoint.
    pub(super) fn pace_endpoint(&mut self, index: SlotIndex, cx: &mut Cx<'_>) {
        let security = self.pool.security(index);
        let previous = self.pool.slot(index).wait();
        let wait = self.policy.next_wait(previous, security, &mut self.rng);
        let at = cx.now.after(self.wait(index, wait, cx));
        self.pool.slot_mut(index).pace(wait, at);
    }

    /// Books the next wait of an endpoint that failed, to be drawn when it is returned to.
    pub(super) fn grow_wait(&mut self, index: SlotIndex) {
        let security = self.pool.security(index);
        let previous = self.pool.slot(index).wait();
        let wait = self.policy.next_wait(previous, security, &mut self.rng);
        self.pool.slot_mut(index).pace(wait, Time::ZERO);
    }

    /// The wait before the first dial after a loss. Picked again under it, it is not taken anew.
    fn first_wait(&mut self, index: SlotIndex) -> u64 {
        let first = self.policy.pace().first;
        let is_due = self.was_connected() && self.outage.dials == 0;
        if first.is_zero() || !is_due || core::mem::replace(&mut self.outage.took_first, true) {
            return 0;
        }
        self.spread(first, index)
    }

    /// A wait in nanoseconds: this one spread by the jitter, or the hook's.
    pub(super) fn wait(&mut self, index: SlotIndex, base: u64, cx: &mut Cx<'_>) -> u64 {
        let security = self.pool.security(index);
        let suggested = self.policy.spread(base, security, &mut self.rng);
        let pace = self.policy.pace();
        if pace.custom == CustomDelay::Off {
            return suggested;
        }
        let hooked = &mut self.extras_mut().hooked;
        hooked.waits = hooked.waits.saturating_add(1);
        let (waits, failure) = (hooked.waits, hooked.last_failure);
        let answer = cx.hooks.delay(&DelayAsked {
            waits,
            dials: self.outage.dials,
            endpoint: self.pool.id(index),
            security,
            failure: failure.map(Into::into),
            suggested: Duration::from_nanos(suggested),
            random: self.rng.next_u64(),
        });
        match answer {
            DelayAnswer::AsSuggested => suggested,
            DelayAnswer::Exactly(delay) => bounded(nanos(delay), pace.custom, pace.min, pace.cap),
            DelayAnswer::PlusJitter(delay) => self.plus_jitter(nanos(delay), security),
        }
    }

    /// The hook's delay spread by the policy's jitter. What an unbounded one asks beyond the cap is
    /// spread like a wait at the cap.
    fn plus_jitter(&mut self, delay: u64, security: Security) -> u64 {
        let pace = self.policy.pace();
        let beyond = match pace.custom {
            CustomDelay::Unbounded => delay.saturating_sub(nanos(pace.cap)),
            CustomDelay::Bounded | CustomDelay::Off => 0,
        };
        let within = self.policy.spread(delay - beyond, security, &mut self.rng);
        within.saturating_add(beyond)
    }

    /// Whether it may be dialled at all in this outage, now or later, by the client's main dial.
    pub(super) fn may_be_dialled(&self, index: SlotIndex) -> bool {
        self.pinned().is_none_or(|pinned| pinned == index)
            && !self.attempts.iter().any(|attempt| attempt.slot == index)
    }

    /// The only one that the client's main dial may go to at this stage, if there is one.
    fn pinned(&self) -> Option<SlotIndex> {
        match (self.stage, self.policy.start()) {
            (Stage::StartUp { pinned }, Start::FirstOnly) => pinned.get(),
            (Stage::StartUp { .. } | Stage::After { .. }, _) => None,
        }
    }

    fn was_connected(&self) -> bool {
        matches!(self.stage, Stage::After { .. })
    }
}

fn bounded(delay: u64, custom: CustomDelay, min: Duration, cap: Duration) -> u64 {
    match custom {
        CustomDelay::Unbounded => delay,
        CustomDelay::Bounded | CustomDelay::Off => delay.clamp(nanos(min), nanos(cap)),
    }
}
