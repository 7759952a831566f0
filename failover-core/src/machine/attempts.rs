//! Dials in flight: started, done, failed, cancelled.

use core::time::Duration;

use crate::attempt::{AttemptId, Purpose, Role};
use crate::endpoint::{EndpointId, Security};
use crate::failure::{Failure, Kind, Scope};
use crate::machine::effort::Extras;
use crate::machine::outage::Plan;
use crate::machine::{
    Answer, AttemptEnded, CloseReason, Cx, DialOrder, Event, Live, Machine, Output, Stage, State,
};
use crate::policy::{CustomDelay, Every, JudgeAsked, MIN_REDIAL, PlainFallback, Reaction};
use crate::pool::{Condition, MaybeSlot, SlotIndex};
use crate::time::Time;

/// A dial in flight.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub(crate) struct Attempt {
    pub(crate) id: AttemptId,
    pub(crate) started: Time,
    pub(crate) deadline: Time,
    pub(crate) slot: SlotIndex,
    pub(crate) endpoint: EndpointId,
    pub(crate) number: u32,
    pub(crate) route: u8,
    pub(crate) role: Role,
    pub(crate) purpose: Purpose,
}

impl Attempt {
    /// The order as it was given, with the deadline that it has now.
    pub(super) fn order(&self) -> DialOrder {
        DialOrder {
            attempt: self.id,
            endpoint: self.endpoint,
            route: self.route,
            role: self.role,
            purpose: self.purpose,
            number: self.number,
            deadline: self.deadline,
        }
    }

    pub(super) fn ended(&self, outcome: Result<(), Failure>, now: Time) -> Event {
        Event::Attempt(AttemptEnded {
            order: self.order(),
            outcome,
            took: now.since(self.started),
            next: None,
        })
    }

    /// Whether the client waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.role, Role::Main | Role::Raced)
    }
}

/// Whether a failed turn counts for the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Yes,
    No,
}

impl Machine {
    /// Starts the main dial that was planned.
    pub(super) fn dial(&mut self, plan: Plan, cx: &mut Cx<'_>) {
        self.outage.dials = self.outage.dials.saturating_add(1);
        if let Stage::StartUp { pinned } = &mut self.stage
            && *pinned == MaybeSlot::NONE
        {
            *pinned = MaybeSlot::some(plan.slot);
        }
        self.outage.swept = true;
        self.pool.take_turn(plan.slot);
        let purpose = match self.stage {
            Stage::StartUp { .. } => Purpose::First,
            Stage::After { lost } if lost == MaybeSlot::some(plan.slot) => Purpose::Reconnect,
            Stage::After { .. } => Purpose::Failover,
        };
        let role = match self.attempts.iter().any(Attempt::is_awaited) {
            true => Role::Raced,
            false => Role::Main,
        };
        self.state = State::Dialing;
        self.start(plan.slot, plan.route, role, purpose, self.outage.dials, cx);
        self.arm_race(cx.now);
    }

    /// Puts a dial into flight.
    pub(super) fn start(
        &mut self,
        slot: SlotIndex,
        route: u8,
        role: Role,
        purpose: Purpose,
        number: u32,
        cx: &mut Cx<'_>,
    ) -> AttemptId {
        self.last_attempt += 1;
        if let Some(extras) = &mut self.extras {
            extras.told_starved = false;
        }
        let traits = self.pool.traits(slot);
        let deadline = traits.own_deadline().unwrap_or(self.policy.deadline());
        let attempt = Attempt {
            id: AttemptId::new(self.last_attempt),
            started: cx.now,
            deadline: self
                .resume_deadline(cx.now + deadline)
                .min(self.end_of_turn(slot, route, cx.now)),
            slot,
            endpoint: traits.id(),
            number,
            route,
            role,
            purpose,
        };
        let outage = self.pool.outage();
        let floor = cx.now + MIN_REDIAL;
        self.pool.slot_mut(slot).dialled(floor, outage);
        let id = attempt.id;
        cx.out.push(Output::Dial(attempt.order()));
        self.attempts.push(attempt);
        id
    }

    /// Until when a dial over this route may last for its turn's sake. The route that goes first
    /// begins the turn.
    fn end_of_turn(&mut self, slot: SlotIndex, route: u8, now: Time) -> Time {
        let begins = route == self.pool.slot(slot).route;
        let Some(most) = self.policy.turn_deadline() else {
            if let Some(extras) = self.extras.as_mut().filter(|_| begins) {
                extras.turns.retain(|&(of, _)| of != slot);
            }
            return Time::MAX;
        };
        self.extras_mut();
        let attempts = &self.attempts;
        let Some(Extras { turns, routes, .. }) = self.extras.as_deref_mut() else {
            return Time::MAX;
        };
        // Turns of others that go on no more are forgotten.
        // A route that was woken too late, by a host that slept, has a turn of its own.
        turns.retain(|&(of, until)| match of == slot {
            true => !begins && until > now,
            false => {
                attempts.iter().any(|attempt| attempt.slot == of)
                    || routes.iter().any(|plan| plan.slot == of)
            }
        });
        match turns.iter().find(|(of, _)| *of == slot) {
            Some((_, until)) => *until,
            None => {
                turns.push((slot, now + most));
                now + most
            }
        }
    }

    /// The turn of this endpoint ends with the dial that is in flight, if one is.
    fn end_turn(&mut self, slot: SlotIndex) {
        if self.attempts.iter().any(|attempt| attempt.slot == slot) {
            let turns = &mut self.extras_mut().turns;
            turns.retain(|&(of, _)| of != slot);
            turns.push((slot, Time::ZERO));
        }
    }

    /// Whether the turn of this endpoint may not go on at this time.
    fn is_turn_over(&self, slot: SlotIndex, at: Time) -> bool {
        let mut turns = self.extras.iter().flat_map(|extras| &extras.turns);
        turns.any(|&(of, until)| of == slot && until <= at)
    }

    pub(super) fn on_connected(&mut self, attempt: AttemptId, cx: &mut Cx<'_>) -> Answer {
        let Some(attempt) = self.take_attempt(attempt) else {
            return Answer::Stale;
        };
        let live = Live {
            attempt: attempt.id,
            since: cx.now,
            slot: attempt.slot,
            route: attempt.route,
        };
        let slot = self.pool.slot_mut(attempt.slot);
        slot.route = attempt.route;
        slot.answered(attempt.started + MIN_REDIAL);
        cx.out.tell(attempt.ended(Ok(()), cx.now));
        self.train(&attempt, cx.now.since(attempt.started));
        if self.side_dial_done(&attempt, live, cx) {
            return Answer::Taken;
        }
        self.cancel_all(cx);
        let (link, lost) = (self.link(live), self.lost());
        cx.out.tell(match lost {
            Some(from) if from == live.slot => Event::Reconnected(link),
            Some(from) => Event::FailedOver {
                to: link,
                from: self.pool.id(from),
            },
            None => Event::Connected(link),
        });
        if let Stage::StartUp { .. } = self.stage {
            let lost = MaybeSlot::NONE;
            self.stage = Stage::After { lost };
        }
        self.stand(live, cx);
        Answer::Taken
    }

    pub(super) fn on_failed(
        &mut self,
        attempt: AttemptId,
        failure: Failure,
        cx: &mut Cx<'_>,
    ) -> Answer {
        let Some(attempt) = self.take_attempt(attempt) else {
            return Answer::Stale;
        };
        let mark = cx.out.mark();
        cx.out.tell(attempt.ended(Err(failure), cx.now));
        if attempt.is_awaited() && !self.is_on_the_side(attempt.id) {
            self.tell_hook_of(failure);
            self.main_failed(&attempt, failure, cx);
            cx.out.amend(mark, self.planned(cx.now));
        } else {
            self.side_dial_failed(&attempt, failure, cx);
        }
        Answer::Taken
    }

    /// A delay hook, if there is one, hears of this failure when it is asked next.
    pub(super) fn tell_hook_of(&mut self, failure: Failure) {
        if self.policy.pace().custom != CustomDelay::Off {
            self.extras_mut().hooked.last_failure = Some(failure.into());
        }
    }

    fn main_failed(&mut self, attempt: &Attempt, failure: Failure, cx: &mut Cx<'_>) {
        if let Some(reason) = self.elapsed(cx.now) {
            return self.close(reason, cx);
        }
        let out_of_time = self.resume_until().is_some_and(|until| until <= cx.now);
        let route = self.next_route(attempt, failure, cx.now);
        if let Some(route) = route.filter(|_| !out_of_time) {
            // Within a turn the floor alone holds a dial up, not the rest under which it began.
            let at = self.pool.slot(attempt.slot).floor().max(cx.now);
            let slot = attempt.slot;
            if self.attempts.iter().any(Attempt::is_awaited) {
                // Rivals are under way: the floor may hold this route up beside them.
                match at <= cx.now {
                    true => self.dial(Plan { at, slot, route }, cx),
                    false => self.extras_mut().routes.push(Plan { at, slot, route }),
                }
                return;
            }
            return self.enter(Plan { at, slot, route }, cx);
        }
        if self.failed_in_resume_window(attempt, failure, cx) {
            return;
        }
        let reaction = self.reaction(attempt.slot, &failure, cx);
        self.book(attempt.slot, &failure, reaction, Counted::Yes, cx);
        if reaction == Reaction::Stop {
            return self.close(CloseReason::Fatal(failure), cx);
        }
        if let Some(reason) = self.limit_reached(cx.now) {
            return self.close(reason, cx);
        }
        if self.attempts.iter().any(Attempt::is_awaited) {
            self.next_in_race(cx);
        } else if let Some(plan) = self.next_held_up_route() {
            self.enter(plan, cx);
        } else {
            self.advance(cx);
        }
    }

    /// What a failure of this endpoint means: the policy's word, or the user's.
    pub(super) fn reaction(&self, slot: SlotIndex, failure: &Failure, cx: &mut Cx<'_>) -> Reaction {
        cx.hooks.judge(&JudgeAsked {
            endpoint: self.pool.id(slot),
            failure: *failure,
            suggested: self
                .policy
                .reaction_in(self.pool.traits(slot).in_class(), failure),
        })
    }

    /// Books a failed turn of an endpoint: its series, its rest, its pace, its limit.
    pub(super) fn book(
        &mut self,
        index: SlotIndex,
        failure: &Failure,
        reaction: Reaction,
        counted: Counted,
        cx: &mut Cx<'_>,
    ) {
        let outage = self.pool.outage();
        let class = self.pool.traits(index).in_class();
        if counted == Counted::Yes {
            self.outage.failed_turns = self.outage.failed_turns.saturating_add(1);
            self.pool.slot_mut(index).failed(outage);
            match self.policy.pace().every {
                Every::Endpoint => self.pace_endpoint(index, cx),
                Every::Return => self.grow_wait(index),
                Every::Attempt | Every::Sweep => {}
            }
        }
        let slot = self.pool.slot_mut(index);
        let before = (slot.condition(outage), slot.ready_at(outage));
        match reaction {
            Reaction::Next | Reaction::Stop => {}
            Reaction::Mark => slot.mark(&self.policy.health_in(class), cx.now),
            Reaction::Suspend => slot.suspend(&self.policy.health_in(class), cx.now),
            Reaction::Remove => slot.switch_off(Condition::Off),
        }
        // A probe that fails may be suspended again, or only fail.
        let after = (slot.condition(outage), slot.ready_at(outage));
        let suspended =
            after.0 == Condition::Suspended && (reaction == Reaction::Suspend || after != before);
        if let Some(hint) = failure.retry_after {
            slot.hint(hint, &self.policy.health_in(class), cx.now);
        }
        if counted == Counted::Yes
            && let Some(limits) = self.limits()
            && self
                .policy
                .per_endpoint_in(class, *limits)
                .is_reached(self.pool.slot(index).failures)
        {
            self.pool.slot_mut(index).retire(outage);
        }
        let slot = self.pool.slot(index);
        if suspended && slot.condition(outage) == Condition::Suspended {
            let until = slot.ready_at(outage).unwrap_or(Time::MAX);
            self.end_turn(index);
            cx.out.tell(Event::Suspended {
                endpoint: self.pool.id(index),
                until,
            });
        }
    }

    /// The route to try next within this turn, if the failure is one that another may avoid.
    fn next_route(&self, failed: &Attempt, failure: Failure, now: Time) -> Option<u8> {
        if failure.scope == Scope::Fatal || !failure.kind.invites_next_route() {
            return None;
        }
        let traits = self.pool.traits(failed.slot);
        if traits.routes() < 2 {
            return None;
        }
        let slot = self.pool.slot(failed.slot);
        self.pool.ready_at(failed.slot)?;
        // The floor may hold the route up.
        if self.is_turn_over(failed.slot, slot.floor().max(now)) {
            return None;
        }
        let tried_tls = traits.security(failed.route) == Security::Tls;
        let no_plain = tried_tls && self.policy.plain_fallback() == PlainFallback::Refuse;
        // The route that worked last went first, then the others in their order.
        let first = slot.route;
        let mut order =
            core::iter::once(first).chain((0..traits.routes()).filter(|&route| route != first));
        order.find(|&route| route == failed.route)?;
        order.find(|&route| !(no_plain && traits.security(route) == Security::Plain))
    }

    pub(super) fn on_learned(&mut self, attempt: AttemptId, security: Security) -> Answer {
        let Some(attempt) = self.attempts.iter().find(|a| a.id == attempt) else {
            return Answer::Stale;
        };
        let (slot, route) = (attempt.slot, attempt.route);
        self.pool.learn(slot, route, security);
        Answer::Taken
    }

    pub(super) fn take_attempt(&mut self, attempt: AttemptId) -> Option<Attempt> {
        self.attempts.take(|a| a.id == attempt)
    }

    /// Cancels every dial in flight.
    pub(super) fn cancel_all(&mut self, cx: &mut Cx<'_>) {
        self.cancel_where(|_| true, cx);
        if let Some(extras) = &mut self.extras {
            extras.forget_dials();
        }
    }

    /// Cancels these dials. They are no failures.
    pub(super) fn cancel_where(&mut self, which: impl Fn(&Attempt) -> bool, cx: &mut Cx<'_>) {
        self.attempts.retain(|attempt| {
            if !which(attempt) {
                return true;
            }
            cx.out.push(Output::Cancel(attempt.id));
            cx.out
                .tell(attempt.ended(Err(Failure::new(Kind::Cancelled)), cx.now));
            false
        });
    }

    /// How long this wait is spread before a side dial.
    pub(super) fn spread(&mut self, wait: Duration, slot: SlotIndex) -> u64 {
        let security = self.pool.security(slot);
        self.policy
            .spread(crate::time::nanos(wait), security, &mut self.rng)
    }
}
