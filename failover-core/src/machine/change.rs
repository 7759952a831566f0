//! The list changes while the machine runs.

use crate::endpoint::{EndpointId, Traits};
use crate::machine::attempts::Attempt;
use crate::machine::outage::Plan;
use crate::machine::{Answer, Change, Cx, Machine, Move, Next, Output, Stage, State};
use crate::policy::{Every, MIN_REDIAL, NobodyReady};
use crate::pool::{Condition, SlotIndex};

impl Machine {
    pub(super) fn on_change(&mut self, change: Change, cx: &mut Cx<'_>) -> Answer {
        match change {
            Change::Add(traits) => self.on_add(traits, cx),
            Change::Remove(endpoint) => self.on_gone(endpoint, Condition::Removed, cx),
            Change::Off(endpoint) => self.on_gone(endpoint, Condition::Off, cx),
            Change::On(endpoint) => self.on_on(endpoint, cx),
        }
    }

    fn on_add(&mut self, traits: Traits, cx: &mut Cx<'_>) -> Answer {
        let walk = self.policy.order().walk;
        if self.pool.add(traits, walk, &mut self.rng).is_none() {
            return Answer::Stale;
        }
        self.somebody_came(cx);
        Answer::Taken
    }

    fn on_on(&mut self, endpoint: EndpointId, cx: &mut Cx<'_>) -> Answer {
        let Some(slot) = self.pool.find(endpoint) else {
            return Answer::Stale;
        };
        self.pool.slot_mut(slot).switch_on(cx.now + MIN_REDIAL);
        self.somebody_came(cx);
        Answer::Taken
    }

    fn somebody_came(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::Starved {
            self.advance(cx);
        }
        self.hurry_on_the_side(cx.now);
        self.work_on_the_side(cx);
    }

    fn on_gone(&mut self, endpoint: EndpointId, how: Condition, cx: &mut Cx<'_>) -> Answer {
        let Some(slot) = self.pool.find(endpoint) else {
            return Answer::Stale;
        };
        self.pool.slot_mut(slot).switch_off(how);
        if let Stage::StartUp { pinned } = &mut self.stage
            && how == Condition::Removed
            && *pinned == Some(slot)
        {
            *pinned = None;
        }
        self.cancel_dials_where(|dial| dial.slot == slot, cx);
        if let Some(extras) = &mut self.extras {
            extras.routes.retain(|plan| plan.slot != slot);
        }
        if self.outage.lost == Some(endpoint) {
            self.give_up_session(cx);
        }
        self.drop_spares_of(slot, cx);
        match self.state {
            State::Connected(live) if live.slot == slot => {
                self.leave_by(cx.now, Move::Drain);
                self.work_on_the_side(cx);
            }
            State::Waiting(plan) if plan.slot == slot => self.pick_again(plan, cx),
            State::Dialing => self.go_on_without_a_dial(cx),
            State::Idle
            | State::Waiting(_)
            | State::Connected(_)
            | State::Paused
            | State::Starved
            | State::Closed(_) => {}
        }
        Answer::Taken
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
            let attempt = self.attempts[at].order.attempt;
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
                    attempt: spare.link.attempt,
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
