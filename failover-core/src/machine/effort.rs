//! Dials on the side, while a connection stands: spares, probes, a move.

use alloc::vec::Vec;

use crate::attempt::{AttemptId, Purpose, Role};
use crate::failure::{Brief, Failure};
use crate::machine::attempts::{Attempt, Counted};
use crate::machine::outage::Plan;
use crate::machine::{Answer, Cx, Event, Live, Machine, Move, Output, State};
use crate::policy::{Lost, MIN_REDIAL};
use crate::pool::{SlotIndex, Wanted};
use crate::race::Trainer;
use crate::time::{Time, nanos};

/// What few machines need.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub(crate) struct Extras {
    pub(super) efforts: Vec<Effort>,
    pub(super) spares: Vec<Live>,
    /// When and why the connection will be left.
    pub(super) leave: Option<(Time, Move)>,
    /// It is left only because its server was switched off.
    pub(super) only_off: bool,
    /// The preferred endpoint whose probes succeed.
    good: Option<Good>,
    /// Until when only the lost server is dialled.
    pub(super) resume_until: Option<Time>,
    /// When the next rival of the dial in flight starts.
    pub(super) rival_at: Option<Time>,
    /// Next routes of rivals that failed, held up by the floor while others are in flight.
    pub(super) routes: Vec<Plan>,
    /// When the last turn of each endpoint is over, under a policy that bounds turns.
    pub(super) turns: Vec<(SlotIndex, Time)>,
    /// The last wait after the end of a spare, before jitter, in nanoseconds, of each endpoint that ended one.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(super) ended_spares: Vec<(SlotIndex, u64)>,
    pub(super) trainer: Trainer,
    pub(super) paused: bool,
    /// Dials that wait for a permit, since when.
    pub(super) held: Vec<(AttemptId, Time)>,
    /// Whether starvation was told since the last dial.
    pub(super) told_starved: bool,
    pub(super) hooked: Hooked,
}

/// What a delay hook is told of the outage.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub(crate) struct Hooked {
    /// Waits so far.
    pub(super) waits: u32,
    pub(super) last_failure: Option<Brief>,
}

/// One thing to reach on the side, by dials one after the other.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub(crate) struct Effort {
    goal: Goal,
    /// When the next dial is made, if none is in flight.
    at: Time,
    /// The last wait before jitter, in nanoseconds.
    wait: u64,
    /// Dials so far.
    dials: u32,
    in_flight: Option<AttemptId>,
}

/// What a side dial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub(crate) enum Goal {
    Spare,
    Probe,
    Move {
        why: Move,
        wanted: Option<SlotIndex>,
    },
}

/// Good probes of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
struct Good {
    slot: SlotIndex,
    probes: u8,
    since: Time,
}

impl Effort {
    fn is_move(&self) -> bool {
        matches!(self.goal, Goal::Move { .. })
    }
}

impl Extras {
    /// When it is due, in this state of the machine.
    pub(super) fn next_wake(&self, state: &State) -> Option<Time> {
        match state {
            State::Connected { .. } if self.paused => None,
            State::Connected { .. } => {
                let idle = self
                    .efforts
                    .iter()
                    .filter(|effort| effort.in_flight.is_none());
                let leave = self.leave.map(|(at, _)| at);
                idle.map(|effort| effort.at).chain(leave).min()
            }
            State::Waiting(_) => self.resume_until,
            State::Dialing => {
                let routes = self.routes.iter().map(|plan| plan.at);
                let others = self.rival_at.into_iter().chain(self.resume_until);
                others.chain(routes).min()
            }
            State::Idle | State::Paused | State::Starved | State::Closed(_) => None,
        }
    }

    /// Each slot that it names.
    pub(super) fn each_slot(&mut self, visit: &mut dyn FnMut(&mut SlotIndex)) {
        // Field by field, so that none is forgotten.
        let Self {
            efforts,
            spares,
            leave: _,
            only_off: _,
            good,
            resume_until: _,
            rival_at: _,
            routes,
            turns,
            ended_spares,
            trainer: _,
            paused: _,
            held: _,
            told_starved: _,
            hooked: _,
        } = self;
        for effort in efforts {
            match &mut effort.goal {
                Goal::Move { wanted, .. } => wanted.iter_mut().for_each(&mut *visit),
                Goal::Spare | Goal::Probe => {}
            }
        }
        spares.iter_mut().for_each(|spare| visit(&mut spare.slot));
        good.iter_mut().for_each(|good| visit(&mut good.slot));
        routes.iter_mut().for_each(|plan| visit(&mut plan.slot));
        turns.iter_mut().for_each(|(slot, _)| visit(slot));
        ended_spares.iter_mut().for_each(|(slot, _)| visit(slot));
    }

    /// Nothing is to be known any more of the turns and spares of these.
    pub(super) fn forget_turns_of(&mut self, is_gone: impl Fn(SlotIndex) -> bool) {
        self.turns.retain(|(slot, _)| !is_gone(*slot));
        self.ended_spares.retain(|(slot, _)| !is_gone(*slot));
    }

    /// Whether it names dials up to this one alone.
    #[cfg(feature = "serde")]
    pub(super) fn is_sound(&self, last: u64) -> bool {
        let of_spares = self.spares.iter().map(|spare| spare.attempt);
        let mut dials = of_spares
            .chain(self.efforts.iter().filter_map(|effort| effort.in_flight))
            .chain(self.held.iter().map(|(dial, _)| *dial));
        dials.all(|dial| dial.number() <= last) && self.trainer.is_sound()
    }

    /// The move that is under way is no more; its dial is for the caller to cancel.
    pub(super) fn withdraw_move(&mut self) -> Option<AttemptId> {
        let at = self.efforts.iter().position(Effort::is_move)?;
        self.efforts.remove(at).in_flight
    }

    /// Its dials in flight were cancelled.
    pub(super) fn forget_dials(&mut self) {
        self.rival_at = None;
        self.routes.clear();
        self.held.clear();
        for effort in &mut self.efforts {
            effort.in_flight = None;
        }
    }
}

impl Machine {
    /// A connection stands: what the policy wants beside it is begun.
    pub(super) fn stand(&mut self, live: Live, cx: &mut Cx<'_>) {
        self.state = State::from(live);
        if let Some(extras) = &mut self.extras {
            extras.efforts.clear();
            extras.leave = None;
            extras.only_off = false;
            extras.good = None;
            extras.resume_until = None;
            extras.rival_at = None;
        }
        let standing = self.policy.standing();
        self.leave_at_greatest_age(live.since);
        if standing.failback.is_some() && self.has_lower_tier(live) {
            let at = cx.now.after(self.probe_wait());
            self.begin_effort(Goal::Probe, at);
        }
        self.want_spares(cx.now);
        self.work_on_the_side(cx);
    }

    pub(super) fn leave_at_greatest_age(&mut self, since: Time) {
        if let Some(max_age) = self.policy.standing().max_age {
            let spread = crate::policy::draw(0, nanos(max_age.spread), &mut self.rng);
            let age = nanos(max_age.age).saturating_sub(spread);
            self.leave_by(since.after(age), Move::Age);
        }
    }

    /// The connection shall be left at this time, or sooner if that was planned.
    pub(super) fn leave_by(&mut self, at: Time, why: Move) {
        let extras = self.extras_mut();
        if extras.leave.is_none_or(|(planned, _)| at < planned) {
            extras.leave = Some((at, why));
        }
    }

    pub(super) fn begin_effort(&mut self, goal: Goal, at: Time) {
        self.extras_mut().efforts.push(Effort {
            goal,
            at,
            wait: 0,
            dials: 0,
            in_flight: None,
        });
    }

    pub(super) fn is_moving(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| {
            let mut efforts = extras.efforts.iter();
            efforts.any(Effort::is_move)
        })
    }

    pub(super) fn is_on_the_side(&self, attempt: AttemptId) -> bool {
        self.effort_of(attempt).is_some()
    }

    /// The next dials on the side are made at this time, if they were planned for later.
    pub(super) fn hurry_on_the_side(&mut self, at: Time) {
        if let Some(extras) = &mut self.extras {
            for effort in &mut extras.efforts {
                effort.at = effort.at.min(at);
            }
        }
    }

    /// Leaves the connection and dials on the side, as far as it is time.
    pub(super) fn work_on_the_side(&mut self, cx: &mut Cx<'_>) {
        let Some(live) = self.state.live() else {
            return;
        };
        let Some(extras) = &mut self.extras else {
            return;
        };
        if extras.paused {
            return;
        }
        if let Some((at, why)) = extras.leave
            && at <= cx.now
        {
            extras.leave = None;
            // Comes back here when the move has begun.
            return self.leave(live, why, None, cx);
        }
        for at in 0..extras.efforts.len() {
            // A spare that is promoted is the connection from then on.
            let Some(live) = self.state.live() else {
                return;
            };
            self.dial_on_the_side(at, live, cx);
        }
    }

    fn dial_on_the_side(&mut self, at: usize, live: Live, cx: &mut Cx<'_>) {
        let Some(effort) = self
            .extras
            .as_ref()
            .and_then(|extras| extras.efforts.get(at))
        else {
            return;
        };
        if effort.in_flight.is_some() || effort.at > cx.now {
            return;
        }
        let (goal, number) = (effort.goal, effort.dials.saturating_add(1));
        let found = self.pick_on_the_side(goal, live, cx.now);
        if let Goal::Move { why, .. } = goal
            && let Some(spare) = self.spare_to_move_to(found)
        {
            let since = cx.now;
            return self.move_to(Live { since, ..spare }, why, cx);
        }
        let next = match found {
            Some(slot) if self.not_before_on_the_side(goal, slot) <= cx.now => {
                let (role, purpose) = match goal {
                    Goal::Spare => (Role::Spare, Purpose::Spare),
                    Goal::Probe => (Role::Probe, Purpose::Probe),
                    Goal::Move { .. } if slot == live.slot => (Role::Main, Purpose::Reconnect),
                    Goal::Move { .. } => (Role::Main, Purpose::Failover),
                };
                let route = self.pool.slot(slot).route;
                self.pool.take_turn(slot);
                Ok(self.start(slot, route, role, purpose, number, cx))
            }
            Some(slot) => Err(self.not_before_on_the_side(goal, slot)),
            // Nobody is there for it: it is looked for again later.
            None if goal == Goal::Probe => {
                self.extras_mut().good = None;
                Err(cx.now.after(self.probe_wait()))
            }
            None => Err(cx
                .now
                .after(self.side_wait(at, live.slot).max(nanos(MIN_REDIAL)))),
        };
        let Some(effort) = self.extras_mut().efforts.get_mut(at) else {
            return;
        };
        match next {
            Ok(attempt) => {
                effort.in_flight = Some(attempt);
                effort.dials = number;
            }
            Err(later) => effort.at = later.max(cx.now + MIN_REDIAL),
        }
    }

    /// An endpoint that the user named is dialled although it rests, as soon as the floor allows.
    fn not_before_on_the_side(&self, goal: Goal, slot: SlotIndex) -> Time {
        let known = self.pool.slot(slot);
        match goal {
            Goal::Move {
                wanted: Some(wanted),
                ..
            } if wanted == slot => known.floor(),
            Goal::Move { .. } | Goal::Spare | Goal::Probe => known.not_before(),
        }
    }

    /// Whom to dial on the side: nobody who is connected or being dialled already.
    fn pick_on_the_side(&mut self, goal: Goal, live: Live, now: Time) -> Option<SlotIndex> {
        if let Goal::Move {
            wanted: Some(slot), ..
        } = goal
        {
            let may = self.pool.ready_at(slot).is_some();
            return may.then_some(slot);
        }
        let tier = self.pool.traits(live.slot).in_tier();
        let extras = self.extras.as_deref();
        let (only, below, itself) = match goal {
            // One whose probes succeed is probed again, or the count would never be full.
            Goal::Probe => {
                let good = extras.and_then(|extras| extras.good);
                (good.map(|good| good.slot), Some(tier), None)
            }
            Goal::Spare | Goal::Move { .. } => (None, None, Some(live.slot)),
        };
        let wanted = Wanted {
            only,
            below,
            ..self.wanted_by(now)
        };
        let spares = match goal {
            // A preferred server is probed although a spare stands there.
            Goal::Probe => &[][..],
            Goal::Spare | Goal::Move { .. } => extras.map_or(&[][..], |extras| &extras.spares),
        };
        let in_flight = self.attempts.iter().map(|attempt| attempt.slot);
        let busy = in_flight
            .chain(spares.iter().map(|spare| spare.slot))
            .chain(itself);
        let found = self.pool.pick_any(&wanted, &mut self.rng, busy);
        match goal {
            // With nobody else in the list, a move leads to the same server again.
            Goal::Move { .. }
                if found.is_none()
                    && self.pool.is_alone(live.slot, self.pool.outage())
                    && self.pool.ready_at(live.slot).is_some() =>
            {
                Some(live.slot)
            }
            Goal::Move { .. } | Goal::Spare | Goal::Probe => found,
        }
    }

    /// A connection on the side stands. False: it was no dial on the side.
    pub(super) fn side_dial_done(
        &mut self,
        attempt: &Attempt,
        live: Live,
        cx: &mut Cx<'_>,
    ) -> bool {
        let Some(goal) = self.end_side_dial(attempt.id) else {
            return false;
        };
        match goal {
            Goal::Spare => match self.moves_to(live.slot) {
                Some(why) => self.move_to(live, why, cx),
                None => {
                    self.extras_mut().spares.push(live);
                    cx.out.tell(Event::SpareReady(self.link(live)));
                    self.finish_effort(Goal::Spare);
                }
            },
            Goal::Probe => self.probe_succeeded(live, cx),
            Goal::Move { why, .. } => self.move_to(live, why, cx),
        }
        true
    }

    /// A dial on the side failed: it is booked with its endpoint, no limit counts it, and the next
    /// one is paced.
    pub(super) fn side_dial_failed(
        &mut self,
        attempt: &Attempt,
        failure: Failure,
        cx: &mut Cx<'_>,
    ) {
        let reaction = self.reaction(attempt.slot, &failure, cx);
        self.book(attempt.slot, &failure, reaction, Counted::No, cx);
        let Some(at) = self.effort_of(attempt.id) else {
            return;
        };
        let goal = self.end_side_dial(attempt.id);
        let wait = match goal {
            Some(Goal::Probe) => {
                self.extras_mut().good = None;
                self.probe_wait()
            }
            Some(Goal::Spare | Goal::Move { .. }) | None => self.side_wait(at, attempt.slot),
        };
        let later = cx.now.after(wait).max(cx.now + MIN_REDIAL);
        if let Some(effort) = self.extras_mut().efforts.get_mut(at) {
            effort.at = later;
            // Whom the user named has had its chance.
            if let Goal::Move { wanted, .. } = &mut effort.goal {
                *wanted = None;
            }
        }
    }

    /// Whether, and what for, a move is dialling this endpoint.
    fn moves_to(&self, slot: SlotIndex) -> Option<Move> {
        let extras = self.extras.as_ref()?;
        extras.efforts.iter().find_map(|effort| match effort.goal {
            Goal::Move { why, .. } => {
                let dial = |attempt: &&Attempt| Some(attempt.id) == effort.in_flight;
                let there = self.attempts.iter().find(dial)?.slot == slot;
                there.then_some(why)
            }
            Goal::Spare | Goal::Probe => None,
        })
    }

    fn probe_succeeded(&mut self, live: Live, cx: &mut Cx<'_>) {
        let Some(failback) = self.policy.standing().failback else {
            return;
        };
        let extras = self.extras_mut();
        let good = match extras.good {
            Some(good) if good.slot == live.slot => Good {
                probes: good.probes.saturating_add(1),
                ..good
            },
            Some(_) | None => Good {
                slot: live.slot,
                probes: 1,
                since: cx.now,
            },
        };
        extras.good = Some(good);
        if good.probes >= failback.good_probes && cx.now.since(good.since) >= failback.settle {
            if let Some(from) = self.state.live()
                && !self.is_moving()
            {
                cx.out.tell(Event::Switching {
                    from: self.link(from),
                    why: Move::Failback,
                });
            }
            return self.move_to(live, Move::Failback, cx);
        }
        cx.out.push(Output::HangUp {
            attempt: live.attempt,
            grace: core::time::Duration::ZERO,
        });
        let at = cx.now.after(self.probe_wait());
        let efforts = &mut self.extras_mut().efforts;
        if let Some(effort) = efforts.iter_mut().find(|effort| effort.goal == Goal::Probe) {
            effort.at = at;
        }
    }

    /// The new connection takes over from the old one, which may finish.
    fn move_to(&mut self, live: Live, why: Move, cx: &mut Cx<'_>) {
        let Some(old) = self.state.live() else {
            return;
        };
        self.abandon_side_dials(cx);
        let lived = cx.now.since(old.since);
        if lived < self.policy.stable_after() {
            // The time with a connection does not count as time without one.
            self.outage.since = self.outage.since + lived;
        } else {
            self.next_outage(cx.now);
            self.pool.next_sweep();
            self.pool.slot_mut(old.slot).proved_stable();
        }
        self.pool.take_turn(live.slot);
        if self.policy.order().lost == Lost::TurnTaken {
            self.pool.skip_turn(old.slot);
        }
        cx.out.tell(Event::Moved {
            to: self.link(live),
            from: self.pool.id(old.slot),
            why,
        });
        self.hang_up(old, cx);
        self.stand(live, cx);
        self.drop_spares_of(live.slot, cx);
    }

    pub(super) fn on_spare_lost(
        &mut self,
        attempt: AttemptId,
        failure: Failure,
        cx: &mut Cx<'_>,
    ) -> Answer {
        let Some(extras) = &mut self.extras else {
            return Answer::Stale;
        };
        let Some(at) = extras
            .spares
            .iter()
            .position(|spare| spare.attempt == attempt)
        else {
            return Answer::Stale;
        };
        let spare = extras.spares.remove(at);
        cx.out.tell(Event::SpareLost {
            link: self.link(spare),
            failure,
        });
        let reaction = self.reaction(spare.slot, &failure, cx);
        self.book(spare.slot, &failure, reaction, Counted::No, cx);
        // A server that drops its spares is dialled ever more slowly; one that lived begins anew.
        let was_young = cx.now.since(spare.since) < self.policy.stable_after();
        let ended = &mut self.extras_mut().ended_spares;
        let known = ended.iter().position(|(slot, _)| *slot == spare.slot);
        let previous = known.map_or(0, |at| ended.swap_remove(at).1);
        let previous = if was_young { previous } else { 0 };
        let security = self.pool.security(spare.slot);
        let wait = self.policy.next_wait(previous, security, &mut self.rng);
        self.extras_mut().ended_spares.push((spare.slot, wait));
        let wait = self.spread(core::time::Duration::from_nanos(wait), spare.slot);
        self.want_spares(cx.now.after(wait).max(cx.now + MIN_REDIAL));
        Answer::Taken
    }

    /// The spare to promote: of the lowest tier, the oldest.
    pub(super) fn take_spare(&mut self) -> Option<Live> {
        let spares = &self.extras.as_ref()?.spares;
        let best = spares
            .iter()
            .enumerate()
            .min_by_key(|(at, spare)| (self.pool.traits(spare.slot).in_tier(), *at))?
            .0;
        Some(self.extras_mut().spares.remove(best))
    }

    /// A move that is under way goes where the user named now: its dial to another is given up.
    pub(super) fn aim_move(&mut self, named: Option<SlotIndex>, cx: &mut Cx<'_>) {
        self.hurry_on_the_side(cx.now);
        let Some(slot) = named else {
            return;
        };
        let Some(effort) = self.extras_mut().efforts.iter_mut().find(|e| e.is_move()) else {
            return;
        };
        if let Goal::Move { wanted, .. } = &mut effort.goal {
            *wanted = named;
        }
        let Some(dial) = effort.in_flight else {
            return;
        };
        let elsewhere = |attempt: &Attempt| attempt.id == dial && attempt.slot != slot;
        if self.attempts.iter().any(elsewhere) {
            self.release_effort(dial, cx.now);
            self.cancel_where(elsewhere, cx);
        }
    }

    /// The spare that stands where a move goes; any, where nobody else is there for it.
    fn spare_to_move_to(&mut self, found: Option<SlotIndex>) -> Option<Live> {
        let Some(slot) = found else {
            return self.take_spare();
        };
        let spares = &mut self.extras.as_mut()?.spares;
        let at = spares.iter().position(|spare| spare.slot == slot)?;
        Some(spares.remove(at))
    }

    /// As many efforts for spares as spares are missing.
    pub(super) fn want_spares(&mut self, at: Time) {
        let most = usize::from(self.policy.standing().spares);
        if most == 0 || !matches!(self.state, State::Connected { .. }) {
            return;
        }
        let extras = self.extras_mut();
        let under_way = extras
            .efforts
            .iter()
            .filter(|effort| effort.goal == Goal::Spare)
            .count();
        for _ in extras.spares.len() + under_way..most {
            self.begin_effort(Goal::Spare, at);
        }
    }

    /// Cancels the dials on the side and forgets what they were for; spares stay.
    pub(super) fn abandon_side_dials(&mut self, cx: &mut Cx<'_>) {
        self.cancel_all(cx);
        if let Some(extras) = &mut self.extras {
            extras.efforts.clear();
        }
    }

    /// The connection is lost: dials on the side that are in flight become the client's own.
    pub(super) fn adopt_side_dials(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(extras) = &mut self.extras else {
            return false;
        };
        extras.efforts.clear();
        extras.leave = None;
        extras.good = None;
        for attempt in self.attempts.iter_mut() {
            attempt.role = Role::Raced;
            self.pool.take_turn(attempt.slot);
            self.outage.swept = true;
            self.outage.dials = self.outage.dials.saturating_add(1);
        }
        self.arm_race(cx.now);
        !self.attempts.is_empty()
    }

    fn effort_of(&self, attempt: AttemptId) -> Option<usize> {
        let efforts = &self.extras.as_ref()?.efforts;
        efforts
            .iter()
            .position(|effort| effort.in_flight == Some(attempt))
    }

    fn end_side_dial(&mut self, attempt: AttemptId) -> Option<Goal> {
        let at = self.effort_of(attempt)?;
        let effort = self.extras_mut().efforts.get_mut(at)?;
        effort.in_flight = None;
        Some(effort.goal)
    }

    /// Its dial is cancelled: the next one is made at once.
    pub(super) fn release_effort(&mut self, attempt: AttemptId, now: Time) {
        if let Some(at) = self.effort_of(attempt)
            && let Some(effort) = self.extras_mut().efforts.get_mut(at)
        {
            effort.in_flight = None;
            effort.at = now;
        }
    }

    /// One effort of this kind that has nothing in flight is over.
    fn finish_effort(&mut self, goal: Goal) {
        let efforts = &mut self.extras_mut().efforts;
        let done = efforts
            .iter()
            .position(|e| e.goal == goal && e.in_flight.is_none());
        if let Some(at) = done {
            efforts.remove(at);
        }
    }

    /// The next wait of an effort, in nanoseconds.
    fn side_wait(&mut self, at: usize, slot: SlotIndex) -> u64 {
        let security = self.pool.security(slot);
        let previous = match self
            .extras
            .as_ref()
            .and_then(|extras| extras.efforts.get(at))
        {
            Some(effort) => effort.wait,
            None => 0,
        };
        let wait = self.policy.next_wait(previous, security, &mut self.rng);
        if let Some(effort) = self.extras_mut().efforts.get_mut(at) {
            effort.wait = wait;
        }
        self.policy.spread(wait, security, &mut self.rng)
    }

    /// The time to the next probe, in nanoseconds.
    fn probe_wait(&mut self) -> u64 {
        let failback = self.policy.standing().failback.unwrap_or_default();
        self.half_spread(failback.every)
    }

    /// `U[d/2, d)`, in nanoseconds: keeps the probes of many clients apart.
    fn half_spread(&mut self, interval: core::time::Duration) -> u64 {
        let interval = nanos(interval);
        crate::policy::draw(interval / 2, interval, &mut self.rng)
    }

    fn has_lower_tier(&self, live: Live) -> bool {
        let tier = self.pool.traits(live.slot).in_tier();
        self.pool.has_tier_below(tier)
    }
}
