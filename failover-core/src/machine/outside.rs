//! What others have to say: who lends permits, and clients that share what they know of endpoints.

use alloc::vec::Vec;

use crate::attempt::AttemptId;
use crate::endpoint::EndpointId;
use crate::machine::attempts::Attempt;
use crate::machine::outage::Plan;
use crate::machine::{Answer, Cx, DialOrder, Machine, State};
use crate::policy::MIN_REDIAL;
use crate::pool::Condition;
use crate::time::{Time, nanos};

impl Machine {
    /// The order of a dial in flight, with the deadline that it has now.
    #[must_use]
    pub fn order(&self, attempt: AttemptId) -> Option<DialOrder> {
        let mut attempts = self.attempts.iter();
        Some(attempts.find(|a| a.id == attempt)?.order())
    }

    /// Until when an endpoint rests, or rested last, if it is marked or suspended: the hard floor and
    /// the pace apart.
    #[must_use]
    pub fn rests_until(&self, endpoint: EndpointId) -> Option<Time> {
        let slot = self.pool.find(endpoint)?;
        match self.pool.condition(slot) {
            Condition::Marked | Condition::Suspended => self.pool.ready_at(slot),
            Condition::Active | Condition::Retired | Condition::Off | Condition::Removed => None,
        }
    }

    /// When it has failed, if it is not done: never, while it is held.
    pub(super) fn ends_by(&self, attempt: &Attempt) -> Time {
        match self.is_held(attempt.id) {
            true => Time::MAX,
            false => attempt.deadline,
        }
    }

    fn is_held(&self, attempt: AttemptId) -> bool {
        let mut held = self.extras.iter().flat_map(|extras| &extras.held);
        held.any(|(held, _)| *held == attempt)
    }

    pub(super) fn on_held(&mut self, attempt: AttemptId, now: Time) -> Answer {
        if self.order(attempt).is_none() || self.is_held(attempt) {
            return Answer::Stale;
        }
        self.extras_mut();
        let attempts = &self.attempts;
        if let Some(extras) = &mut self.extras {
            // Those that were given up are forgotten.
            let goes_on = |held| attempts.iter().any(|a| a.id == held);
            extras.held.retain(|(held, _)| goes_on(*held));
            extras.held.push((attempt, now));
        }
        Answer::Taken
    }

    pub(super) fn on_begun(&mut self, attempt: AttemptId, now: Time) -> Answer {
        let Some(at) = self.attempts.iter().position(|a| a.id == attempt) else {
            return Answer::Stale;
        };
        let Some(since) = self.end_hold(attempt) else {
            return Answer::Stale;
        };
        let waited = now.since(since);
        let (slot, deadline) = (self.attempts[at].slot, self.attempts[at].deadline);
        let deadline = self.resume_deadline(deadline + waited);
        let begun = &mut self.attempts[at];
        begun.started = begun.started + waited;
        begun.deadline = deadline;
        if let Some(extras) = &mut self.extras {
            for (_, until) in extras.turns.iter_mut().filter(|(of, _)| *of == slot) {
                *until = *until + waited;
            }
        }
        let outage = self.pool.outage();
        self.pool.slot_mut(slot).dialled(now + MIN_REDIAL, outage);
        Answer::Taken
    }

    /// Since when it was held, if it was.
    fn end_hold(&mut self, attempt: AttemptId) -> Option<Time> {
        let held = &mut self.extras.as_mut()?.held;
        let at = held.iter().position(|(held, _)| *held == attempt)?;
        Some(held.swap_remove(at).1)
    }

    pub(super) fn on_rests(
        &mut self,
        endpoint: EndpointId,
        until: Time,
        cx: &mut Cx<'_>,
    ) -> Answer {
        let Some(slot) = self.pool.find(endpoint) else {
            return Answer::Stale;
        };
        let may_rest = self.pool.condition(slot) <= Condition::Suspended;
        if !may_rest || until <= cx.now {
            return Answer::Stale;
        }
        let outage = self.pool.outage();
        self.pool.slot_mut(slot).told_to_rest(until, outage);
        // In a resume window there is no other server to go to: its dials go on.
        if self.resume_until().is_some() {
            return Answer::Taken;
        }
        let held = match &self.extras {
            Some(extras) => extras.held.clone(),
            None => Vec::new(),
        };
        let is_held = |id| held.iter().any(|(held, _)| *held == id);
        self.cancel_dials_where(|dial| dial.slot == slot && is_held(dial.id), cx);
        match self.state {
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

    /// Goes on if the last dial that the client waited for was cancelled.
    pub(super) fn go_on_without_a_dial(&mut self, cx: &mut Cx<'_>) {
        if self.attempts.iter().any(Attempt::is_awaited) {
            return;
        }
        match self.next_held_up_route() {
            Some(plan) => self.enter(plan, cx),
            None => self.advance(cx),
        }
    }

    pub(super) fn on_recovered(&mut self, endpoint: EndpointId, cx: &mut Cx<'_>) -> Answer {
        let Some(slot) = self.pool.find(endpoint) else {
            return Answer::Stale;
        };
        let rests = matches!(
            self.pool.condition(slot),
            Condition::Marked | Condition::Suspended
        );
        if !rests {
            return Answer::Stale;
        }
        self.pool.slot_mut(slot).told_to_be_back();
        if self.is_out_of_patience(cx) {
            return Answer::Taken;
        }
        let spread = nanos(self.policy.standing().wake_spread);
        let soon = cx.now.after(crate::policy::draw(0, spread, &mut self.rng));
        if let State::Waiting(plan) = self.state
            && self.resume_until().is_none()
            && self.may_be_dialled(slot)
        {
            let known = self.pool.slot(slot);
            let (at, route) = (known.floor().max(soon), known.route);
            if at < plan.at {
                self.owe_wait_again();
                self.enter(Plan { at, slot, route }, cx);
            }
        }
        self.hurry_on_the_side(soon);
        self.work_on_the_side(cx);
        Answer::Taken
    }
}
