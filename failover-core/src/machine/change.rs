//! The list changes while the machine runs.

use crate::endpoint::{EndpointId, Traits};
use crate::machine::attempts::Attempt;
use crate::machine::outage::{Plan, SweepWait};
use crate::machine::{Answer, Change, Cx, Machine, Move, Next, Output, Stage, State};
use crate::policy::{Every, MIN_REDIAL, NobodyReady};
use crate::pool::{Condition, MaybeSlot, SlotIndex};
use crate::time::Time;

impl Machine {
    pub(super) fn on_change(&mut self, change: Change, cx: &mut Cx<'_>) -> Answer {
        match change {
            Change::Add(traits) => self.on_add(traits, cx),
            Change::Remove(endpoint) => self.on_removed(endpoint, cx),
            Change::Off(endpoint) => self.on_gone(endpoint, Condition::Off, cx),
            Change::On(endpoint) => self.on_on(endpoint, cx),
        }
    }

    fn on_add(&mut self, traits: Traits, cx: &mut Cx<'_>) -> Answer {
        let walk = self.policy.order().walk;
        let Some(slot) = self.pool.add(traits, walk, &mut self.rng) else {
            return Answer::Stale;
        };
        self.somebody_came(slot, cx);
        Answer::Taken
    }

    fn on_removed(&mut self, endpoint: EndpointId, cx: &mut Cx<'_>) -> Answer {
        let answer = self.on_gone(endpoint, Condition::Removed, cx);
        if answer == Answer::Taken {
            self.tidy();
        }
        answer
    }

    /// An endpoint that was not removed. Of one that was, nobody shall notice when it is forgotten.
    fn listed(&self, endpoint: EndpointId) -> Option<SlotIndex> {
        let slot = self.pool.find(endpoint)?;
        (self.pool.condition(slot) != Condition::Removed).then_some(slot)
    }

    fn on_on(&mut self, endpoint: EndpointId, cx: &mut Cx<'_>) -> Answer {
        let Some(slot) = self.listed(endpoint) else {
            return Answer::Stale;
        };
        if self.pool.condition(slot) != Condition::Off {
            return Answer::Taken;
        }
        self.pool.slot_mut(slot).switch_on(cx.now + MIN_REDIAL);
        match self.state {
            State::Connected {
                since, slot: at, ..
            } if at == slot => self.stay(since, cx),
            State::Idle
            | State::Waiting(_)
            | State::Dialing
            | State::Connected { .. }
            | State::Paused
            | State::Starved
            | State::Closed(_) => self.pool.give_turn(slot),
        }
        self.somebody_came(slot, cx);
        Answer::Taken
    }

    /// A fresh endpoint has its place in what is going on.
    fn somebody_came(&mut self, slot: SlotIndex, cx: &mut Cx<'_>) {
        if self.is_out_of_patience(cx) {
            return;
        }
        match self.state {
            State::Starved => self.advance(cx),
            State::Waiting(plan) => self.dial_sooner(slot, plan, cx),
            State::Dialing if self.awaits_a_rival() => self.next_in_race(cx),
            State::Idle
            | State::Dialing
            | State::Connected { .. }
            | State::Paused
            | State::Closed(_) => {}
        }
        self.hurry_on_the_side(cx.now);
        self.work_on_the_side(cx);
    }

    /// Dials a fresh endpoint before the one that is waited for, unless the wait holds for it, too.
    fn dial_sooner(&mut self, fresh: SlotIndex, plan: Plan, cx: &mut Cx<'_>) {
        // What the floor alone holds up goes on with its turn.
        let soon = cx.now + MIN_REDIAL;
        if plan.at <= soon || self.resume_until().is_some() || !self.may_be_dialled(fresh) {
            return;
        }
        let (slot, own_wait) = self.choose(fresh, cx);
        let at = match own_wait {
            Some(wait) => cx.now + wait,
            None => self.wait_under_way(slot, cx),
        };
        let at = at.max(self.pool.slot(slot).not_before());
        if at >= plan.at {
            return;
        }
        self.owe_wait_again();
        let route = self.pool.slot(slot).route;
        self.enter(Plan { at, slot, route }, cx);
    }

    /// If the wait before this sweep was not over, the others still owe it.
    pub(super) fn owe_wait_again(&mut self) {
        let is_taken = self.outage.sweep_wait == SweepWait::Taken;
        if self.policy.pace().every == Every::Sweep && !self.outage.swept && is_taken {
            self.outage.sweep_wait = SweepWait::Due;
        }
    }

    fn on_gone(&mut self, endpoint: EndpointId, how: Condition, cx: &mut Cx<'_>) -> Answer {
        let Some(slot) = self.listed(endpoint) else {
            return Answer::Stale;
        };
        self.pool.slot_mut(slot).switch_off(how);
        if let Stage::StartUp { pinned } = &mut self.stage
            && how == Condition::Removed
            && *pinned == MaybeSlot::some(slot)
        {
            *pinned = MaybeSlot::NONE;
        }
        self.cancel_dials_where(|dial| dial.slot == slot, cx);
        if let Some(extras) = &mut self.extras {
            extras.routes.retain(|plan| plan.slot != slot);
        }
        let was_open = self.resume_until().is_some() && self.lost() == Some(slot);
        if was_open {
            self.give_up_session(cx);
        }
        self.drop_spares_of(slot, cx);
        match self.state {
            // What was planned in the window is decided anew.
            State::Waiting(plan) if plan.slot == slot && was_open => self.advance(cx),
            State::Connected { slot: at, .. } if at == slot => {
                self.leave_switched_off(how, cx.now);
                self.work_on_the_side(cx);
            }
            State::Waiting(plan) if plan.slot == slot => self.pick_again(plan, cx),
            State::Dialing => self.go_on_without_a_dial(cx),
            State::Idle
            | State::Waiting(_)
            | State::Connected { .. }
            | State::Paused
            | State::Starved
            | State::Closed(_) => {}
        }
        Answer::Taken
    }

    /// The connection is left as if its server drained; switched on again first, it is not.
    fn leave_switched_off(&mut self, how: Condition, now: Time) {
        let is_moving = self.is_moving();
        let extras = self.extras_mut();
        let was_to_stay = !is_moving && !matches!(extras.leave, Some((_, Move::Drain)));
        extras.only_off = how == Condition::Off && (extras.only_off || was_to_stay);
        self.leave_by(now, Move::Drain);
    }

    /// The server of the connection is switched on again: a move that began for that alone is
    /// withdrawn.
    fn stay(&mut self, since: Time, cx: &mut Cx<'_>) {
        let Some(extras) = &mut self.extras else {
            return;
        };
        if !core::mem::take(&mut extras.only_off) {
            return;
        }
        extras.leave = None;
        let dial = extras.withdraw_move();
        self.cancel_where(|attempt| Some(attempt.id) == dial, cx);
        self.leave_at_greatest_age(since);
    }

    /// Another endpoint at the same time.
    pub(super) fn pick_again(&mut self, plan: Plan, cx: &mut Cx<'_>) {
        let series = self.outage.wait;
        match self.decide(cx) {
            Next::Dial(other) => {
                let mut at = other.at.max(plan.at);
                if self.policy.pace().every == Every::Attempt {
                    // The wait before this dial is under way: no further one is due.
                    self.outage.wait = series;
                    let slot = self.pool.slot(other.slot);
                    let ready = match self.policy.nobody_ready() {
                        NobodyReady::LeastBad => slot.not_before_resting(),
                        NobodyReady::Wait | NobodyReady::Fail => slot.not_before(),
                    };
                    at = at.min(ready.max(plan.at));
                }
                self.enter(Plan { at, ..other }, cx);
            }
            next @ (Next::Close(_) | Next::Starve) => self.enter_next(next, cx),
        }
    }

    /// Cancels these dials; what they were for on the side is begun anew.
    pub(super) fn cancel_dials_where(&mut self, which: impl Fn(&Attempt) -> bool, cx: &mut Cx<'_>) {
        for at in (0..self.attempts.len()).rev() {
            let attempt = self.attempts[at].id;
            if which(&self.attempts[at]) {
                self.release_effort(attempt, cx.now);
            }
        }
        self.cancel_where(which, cx);
    }

    pub(super) fn drop_spares_of(&mut self, slot: SlotIndex, cx: &mut Cx<'_>) {
        let Some(extras) = &mut self.extras else {
            return;
        };
        let mut kept = false;
        extras.spares.retain(|spare| {
            if spare.slot == slot {
                kept = true;
                cx.out.push(Output::HangUp {
                    attempt: spare.attempt,
                    grace: core::time::Duration::ZERO,
                });
            }
            spare.slot != slot
        });
        if kept {
            self.want_spares(cx.now);
        }
    }
}
