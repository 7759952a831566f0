//! Connections that end: lost, left, drained.

use crate::attempt::AttemptId;
use crate::failure::{Failure, Kind};
use crate::machine::attempts::{Attempt, Counted};
use crate::machine::effort::Goal;
use crate::machine::outage::Plan;
use crate::machine::{
    Answer, CloseReason, Cx, Event, Live, Machine, Move, Next, Stage, State, Verdict, Whither, Why,
};
use crate::policy::{Lost, MIN_REDIAL, Overlap, Reaction, Resume, Shuffle, Walk};
use crate::pool::{MaybeSlot, SlotIndex};
use crate::time::Time;

enum Proved {
    Stable,
    Unstable,
}

impl Machine {
    pub(super) fn on_lost(
        &mut self,
        attempt: AttemptId,
        failure: Failure,
        verdict: Verdict,
        cx: &mut Cx<'_>,
    ) -> Answer {
        let live = self.state.live();
        let Some(live) = live.filter(|live| live.attempt == attempt) else {
            return self.on_spare_lost(attempt, failure, cx);
        };
        let reaction = match verdict {
            Verdict::AsPolicy | Verdict::Retry => self.reaction(live.slot, &failure, cx),
            Verdict::Next => Reaction::Next,
            Verdict::Suspend => Reaction::Suspend,
            Verdict::Remove => Reaction::Remove,
            Verdict::Stop => Reaction::Stop,
        };
        let mark = cx.out.mark();
        self.tell_disconnected(live, Why::Lost(failure), cx);
        let counted = match self.begin_outage(live, verdict, cx.now) {
            Proved::Stable => Counted::No,
            Proved::Unstable => Counted::Yes,
        };
        self.tell_hook_of(failure);
        self.book(live.slot, &failure, reaction, counted, cx);
        if reaction == Reaction::Stop {
            self.close(CloseReason::Fatal(failure), cx);
        } else if let Some(reason) = self.limit_reached(cx.now) {
            self.close(reason, cx);
        } else {
            self.replace(live, failure, reaction, verdict, cx);
        }
        cx.out.amend(mark, self.planned(cx.now));
        Answer::Taken
    }

    /// After a loss: a spare, or the same server for a while, or a dial that is under way, or what
    /// the policy decides.
    fn replace(
        &mut self,
        lost: Live,
        failure: Failure,
        reaction: Reaction,
        verdict: Verdict,
        cx: &mut Cx<'_>,
    ) {
        if let Some(spare) = self.take_spare() {
            self.abandon_side_dials(cx);
            let to = self.link(spare);
            cx.out.tell(match spare.slot == lost.slot {
                true => Event::Reconnected(to),
                false => Event::FailedOver {
                    to,
                    from: self.pool.id(lost.slot),
                },
            });
            let since = cx.now;
            return self.stand(Live { since, ..spare }, cx);
        }
        let adopted = self.adopt_side_dials(cx);
        let resumes = verdict == Verdict::AsPolicy
            && matches!(reaction, Reaction::Next | Reaction::Mark)
            && may_resume(failure.kind)
            && self.pool.ready_at(lost.slot).is_some();
        match self.policy.resume() {
            Some(resume) if resumes && !adopted => self.begin_resume_window(lost.slot, resume, cx),
            Some(_) | None if adopted => self.state = State::Dialing,
            Some(_) | None => self.advance(cx),
        }
    }

    /// A connection ended: an outage begins, or, if it did not prove stable, the one before it goes
    /// on with its counters.
    fn begin_outage(&mut self, live: Live, verdict: Verdict, now: Time) -> Proved {
        self.stage = Stage::After {
            lost: MaybeSlot::some(live.slot),
        };
        self.outage.verdict = verdict;
        let order = self.policy.order();
        if order.walk == Walk::Shuffled(Shuffle::EachLoss) {
            self.pool.shuffle(&mut self.rng);
        }
        let lived = now.since(live.since);
        if lived < self.policy.stable_after() {
            // The time with a connection does not count as time without one.
            self.outage.since = self.outage.since + lived;
            return Proved::Unstable;
        }
        self.next_outage(now);
        self.pool.next_sweep();
        self.pool.slot_mut(live.slot).proved_stable();
        if order.walk == Walk::Shuffled(Shuffle::EachSweep) {
            self.pool.shuffle(&mut self.rng);
        }
        if self.outage.place_of_lost(order.lost) == Lost::TurnTaken {
            self.pool.skip_turn(live.slot);
        }
        Proved::Stable
    }

    fn begin_resume_window(&mut self, slot: SlotIndex, resume: Resume, cx: &mut Cx<'_>) {
        self.extras_mut().resume_until = Some(cx.now + resume.window);
        if self.extras.as_ref().is_some_and(|extras| extras.paused) {
            self.state = State::Paused;
            return;
        }
        let first = match resume.first {
            core::time::Duration::ZERO => 0,
            first => self.spread(first, slot),
        };
        let at = cx.now.after(first).max(self.pool.slot(slot).not_before());
        let route = self.pool.slot(slot).route;
        self.enter(Plan { at, slot, route }, cx);
    }

    /// After a pause: the lost server first, if the window is still open.
    pub(super) fn resume_after_pause(&mut self, cx: &mut Cx<'_>) -> Option<Plan> {
        let open = self.resume_until()? > cx.now;
        match self.lost().filter(|_| open) {
            Some(slot) => Some(Plan {
                at: self.pool.slot(slot).not_before().max(cx.now),
                slot,
                route: self.pool.slot(slot).route,
            }),
            None => {
                self.give_up_session(cx);
                None
            }
        }
    }

    /// Another server than the one that was lost is dialled next: the window is over.
    fn give_up_session_elsewhere(&mut self, next: SlotIndex, cx: &mut Cx<'_>) {
        if Some(next) != self.lost() {
            self.give_up_session(cx);
        }
    }

    /// Ends the window, if it is open.
    pub(super) fn give_up_session(&mut self, cx: &mut Cx<'_>) {
        if self.resume_until().is_some() {
            self.tell_session_gone(cx);
        }
    }

    /// In the window a failure only leads to the next try, unless it says that the session is lost.
    pub(super) fn failed_in_resume_window(
        &mut self,
        attempt: &Attempt,
        failure: Failure,
        cx: &mut Cx<'_>,
    ) -> bool {
        let (Some(resume), Some(until)) = (self.policy.resume(), self.resume_until()) else {
            return false;
        };
        let reaction = self.reaction(attempt.slot, &failure, cx);
        let wait = self.spread(resume.every, attempt.slot).max(1);
        let ready = self.pool.slot(attempt.slot).not_before();
        let at = cx.now.after(wait).max(cx.now + MIN_REDIAL).max(ready);
        if at >= until || !matches!(reaction, Reaction::Next | Reaction::Mark) {
            self.tell_session_gone(cx);
            return false;
        }
        let (slot, route) = (attempt.slot, self.pool.slot(attempt.slot).route);
        self.enter(Plan { at, slot, route }, cx);
        true
    }

    /// The window is over: what was planned in it is decided anew.
    pub(super) fn end_resume_window(&mut self, cx: &mut Cx<'_>) {
        if self.state != State::Paused && self.resume_until().is_some_and(|until| until <= cx.now) {
            self.tell_session_gone(cx);
            if let State::Waiting(_) = self.state {
                self.advance(cx);
            }
        }
    }

    fn tell_session_gone(&mut self, cx: &mut Cx<'_>) {
        self.extras_mut().resume_until = None;
        cx.out.tell(Event::SessionGone);
    }

    pub(super) fn resume_until(&self) -> Option<Time> {
        self.extras.as_ref()?.resume_until
    }

    /// A dial in the resume window ends with it.
    pub(super) fn resume_deadline(&self, deadline: Time) -> Time {
        deadline.min(self.resume_until().unwrap_or(Time::MAX))
    }

    pub(super) fn on_drain(&mut self, attempt: AttemptId, cx: &mut Cx<'_>) -> Answer {
        let Some(live) = self.state.live() else {
            return Answer::Stale;
        };
        if live.attempt != attempt {
            return Answer::Stale;
        }
        let spread = crate::time::nanos(self.policy.standing().drain_spread);
        let at = cx.now.after(crate::policy::draw(0, spread, &mut self.rng));
        self.leaves_anyway();
        self.leave_by(at, Move::Drain);
        cx.out.tell(Event::Draining {
            link: self.link(live),
            after: at.since(cx.now),
        });
        self.work_on_the_side(cx);
        Answer::Taken
    }

    /// The connection is not left for a switch alone.
    fn leaves_anyway(&mut self) {
        if let Some(extras) = &mut self.extras {
            extras.only_off = false;
        }
    }

    pub(super) fn on_reconnect(&mut self, whither: Whither, cx: &mut Cx<'_>) -> Answer {
        if self.is_out_of_patience(cx) {
            return Answer::Taken;
        }
        let wanted = match whither {
            Whither::Any | Whither::Other => None,
            Whither::This(endpoint) => match self.wanted(endpoint) {
                Some(slot) => Some(slot),
                None => return Answer::Stale,
            },
        };
        if let Some(live) = self.state.live() {
            self.leaves_anyway();
            self.leave(live, Move::Forced, wanted, cx);
            return Answer::Taken;
        }
        match self.state {
            State::Waiting(plan) => {
                let plan = match (whither, wanted) {
                    // The turn that it is in goes on.
                    (_, Some(slot)) if slot == plan.slot => plan,
                    (_, Some(slot)) => self.plan_for(slot, cx.now),
                    (Whither::Other, None) if Some(plan.slot) == self.lost() => {
                        self.plan_for_another(plan, cx.now)
                    }
                    (Whither::Any | Whither::Other | Whither::This(_), None) => plan,
                };
                let at = match wanted {
                    Some(_) => self.forced(plan, cx.now),
                    None => self.hurried(plan, cx.now),
                };
                self.give_up_session_elsewhere(plan.slot, cx);
                self.enter(Plan { at, ..plan }, cx);
                Answer::Taken
            }
            State::Dialing => match wanted {
                Some(slot) if self.attempts.iter().all(|attempt| attempt.slot != slot) => {
                    self.cancel_all(cx);
                    self.give_up_session_elsewhere(slot, cx);
                    let plan = self.plan_for(slot, cx.now);
                    let at = self.forced(plan, cx.now);
                    self.enter(Plan { at, ..plan }, cx);
                    Answer::Taken
                }
                Some(_) | None => Answer::Stale,
            },
            State::Idle
            | State::Connected { .. }
            | State::Paused
            | State::Starved
            | State::Closed(_) => Answer::Stale,
        }
    }

    /// An endpoint that the user names, if it may be dialled at all.
    fn wanted(&self, endpoint: crate::endpoint::EndpointId) -> Option<SlotIndex> {
        let slot = self.pool.find(endpoint)?;
        self.pool.ready_at(slot)?;
        Some(slot)
    }

    fn plan_for(&self, slot: SlotIndex, now: Time) -> Plan {
        Plan {
            at: now + MIN_REDIAL,
            slot,
            route: self.pool.slot(slot).route,
        }
    }

    fn plan_for_another(&mut self, plan: Plan, now: Time) -> Plan {
        self.pool.skip_turn(plan.slot);
        match self.pick_in_sweep(now) {
            Some(slot) => self.plan_for(slot, now),
            None => plan,
        }
    }

    /// Leaves a connection: with overlap the new one comes first; without, the old one goes first.
    pub(super) fn leave(
        &mut self,
        live: Live,
        why: Move,
        wanted: Option<SlotIndex>,
        cx: &mut Cx<'_>,
    ) {
        match self.policy.standing().overlap {
            Overlap::Allowed => self.begin_move(live, why, wanted, cx),
            Overlap::Forbidden => {
                let mark = cx.out.mark();
                self.tell_disconnected(live, Why::Left(why), cx);
                self.hang_up(live, cx);
                self.begin_outage(live, Verdict::Next, cx.now);
                // Leaving is no failure: nothing is booked, no count is asked, no wait is owed. But
                // without overlap it takes time.
                let next = match (self.elapsed(cx.now), wanted) {
                    (Some(reason), _) => Next::Close(reason),
                    (None, Some(slot)) => Next::Dial(self.plan_for(slot, cx.now)),
                    (None, None) => self.decide_whom(cx),
                };
                match next {
                    Next::Dial(plan) => {
                        let at = match wanted {
                            Some(_) => self.forced(plan, cx.now),
                            None => self.hurried(plan, cx.now),
                        };
                        self.enter(Plan { at, ..plan }, cx);
                    }
                    other @ (Next::Close(_) | Next::Starve) => self.enter_next(other, cx),
                }
                cx.out.amend(mark, self.planned(cx.now));
            }
        }
    }

    fn begin_move(&mut self, live: Live, why: Move, wanted: Option<SlotIndex>, cx: &mut Cx<'_>) {
        if self.is_moving() {
            if why == Move::Forced {
                self.aim_move(wanted, cx);
            }
        } else {
            cx.out.tell(Event::Switching {
                from: self.link(live),
                why,
            });
            self.begin_effort(Goal::Move { why, wanted }, cx.now);
        }
        self.work_on_the_side(cx);
    }
}

/// Whether the session may still be there after such a loss. (Diffusion: transport errors and
/// idle; not a refusal or a close by either side.)
fn may_resume(kind: Kind) -> bool {
    match kind {
        Kind::Refused
        | Kind::Unreachable
        | Kind::Timeout
        | Kind::Reset
        | Kind::Stale
        | Kind::Other => true,
        Kind::Resolve
        | Kind::Closed
        | Kind::Tls
        | Kind::Upgrade
        | Kind::Protocol
        | Kind::Auth
        | Kind::WrongRole
        | Kind::Cancelled
        | Kind::Exhausted
        | Kind::Draining
        | Kind::NoneReady => false,
    }
}
