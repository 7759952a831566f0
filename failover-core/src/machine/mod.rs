//! The machine that decides: no I/O, no clock, no runtime, no hidden randomness.
//!
//! News goes in through [`Machine::handle`], work comes out into an [`Outbox`], and
//! [`Machine::next_wake`] says when time itself is news. The same policy, endpoints, seed and
//! inputs with their times give the same outputs on every platform (law L5).
//!
//! ```
//! use std::sync::Arc;
//! use failover_core::endpoint::{EndpointId, Security, Traits};
//! use failover_core::failure::{Failure, Kind};
//! use failover_core::machine::{Input, Machine, Outbox, Output};
//! use failover_core::policy::{NoHooks, Policy, Seed};
//! use failover_core::time::Time;
//!
//! let endpoints = [0, 1].map(|n| Traits::new(EndpointId::new(n)).route(Security::Plain));
//! let mut machine = Machine::new(Arc::new(Policy::default()), &endpoints, Seed::new(7));
//! let mut out = Outbox::default();
//!
//! machine.handle(Input::Start, &mut NoHooks, &mut out, Time::ZERO);
//! let [Output::Dial(first)] = out.as_slice() else { panic!() };
//! let (attempt, tried) = (first.attempt, first.endpoint);
//! out.drain();
//!
//! // The first endpoint refuses: the other one is dialled at once.
//! let failure = Failure::new(Kind::Refused);
//! machine.handle(Input::Failed { attempt, failure }, &mut NoHooks, &mut out, Time::from_nanos(1));
//! let [Output::Event(_), Output::Dial(second)] = out.as_slice() else { panic!() };
//! assert_ne!(second.endpoint, tried);
//! ```

mod io;
mod pick;
mod round;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

pub use self::io::{
    Answer, AttemptEnded, CloseReason, DialOrder, Event, Input, Link, Outbox, Output, Planned,
    Verdict, Why,
};
use self::round::{Outage, Plan, Round};
use crate::attempt::{AttemptId, Purpose, Role};
use crate::endpoint::{EndpointId, Security, Traits};
use crate::failure::{Failure, Kind, Scope};
use crate::policy::{Hooks, Limits, Lost, MIN_REDIAL, PlainFallback, Policy, Seed, Shuffle, Walk};
use crate::pool::{Pool, SlotIndex};
use crate::time::Time;

/// How long an endpoint is benched that failed for a reason of its own (certificate, login): 30 s,
/// doubled each time in a row, at most 10 min. Others are tried meanwhile.
pub const BENCH: Duration = Duration::from_secs(30);
/// The longest time on the bench, and the longest retry-after hint that is believed.
pub const LONGEST_BENCH: Duration = Duration::from_secs(600);

/// Decides when to dial whom.
///
/// # The one law of its life
/// `handle` is the only thing that changes it. After each call the caller empties the outbox and
/// arms one timer for [`next_wake`](Self::next_wake); then one of these is true (law L14): a dial is
/// in flight, a wake-up is due, or the [`status`](Self::status) is connected, idle, starved or
/// closed.
///
/// ```text
///           Start                    Connected
///   Idle ──────────► Dialing ◄─────────────────► Connected
///                    │     ▲        Lost          │
///             Failed │     │ Wake                 │ Close, or
///                    ▼     │                      │ Lost at a limit
///                    Waiting ──────► Closed ◄─────┘
///                             limit
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    policy: Arc<Policy>,
    pool: Pool,
    rng: Xoshiro256PlusPlus,
    /// The latest time that was told: time never runs backwards here.
    latest: Time,
    last_attempt: u64,
    attempts: Vec<Attempt>,
    state: State,
    stage: Stage,
    outage: Outage,
    round: Round,
}

/// What the machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Not started.
    Idle,
    /// Waiting until it is time for the next dial.
    Waiting {
        /// Whom it will dial.
        endpoint: EndpointId,
        /// When.
        until: Time,
    },
    /// A dial is in flight.
    Dialing {
        /// To whom.
        endpoint: EndpointId,
    },
    /// Connected.
    Connected {
        /// To whom, by which dial.
        link: Link,
        /// Since when.
        since: Time,
    },
    /// No endpoint to dial.
    Starved,
    /// Over.
    Closed(CloseReason),
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Idle,
    Waiting(Plan),
    Dialing,
    Connected { link: Link, since: Time },
    Starved,
    Closed(CloseReason),
}

/// Whether there ever was a connection: other limits apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not yet. Under [`Start::FirstOnly`](crate::policy::Start) this endpoint alone is dialled.
    StartUp {
        pinned: Option<SlotIndex>,
    },
    After,
}

/// A dial in flight.
#[derive(Clone, Debug, PartialEq)]
struct Attempt {
    order: DialOrder,
    slot: SlotIndex,
    place: usize,
    started: Time,
}

/// What to do next.
enum Next {
    Close(CloseReason),
    Starve,
    Dial(Plan),
}

impl Machine {
    /// A machine for these endpoints, in this order. It does nothing before [`Input::Start`].
    #[must_use]
    pub fn new(policy: Arc<Policy>, endpoints: &[Traits], seed: Seed) -> Self {
        Self {
            policy,
            pool: Pool::new(endpoints),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed.get()),
            latest: Time::ZERO,
            last_attempt: 0,
            attempts: Vec::new(),
            state: State::Idle,
            stage: Stage::StartUp { pinned: None },
            outage: Outage::new(1, Time::ZERO),
            round: Round::new(),
        }
    }

    /// Takes news in and puts the work that follows into `out`.
    ///
    /// `now` is the driver's time; one that runs backwards counts as standing still. A panic in a
    /// hook unwinds through here and leaves the machine unusable.
    pub fn handle(
        &mut self,
        input: Input,
        hooks: &mut dyn Hooks,
        out: &mut Outbox,
        now: Time,
    ) -> Answer {
        self.latest = self.latest.max(now);
        let now = self.latest;
        if let State::Closed(_) = self.state {
            return Answer::Closed;
        }
        match input {
            Input::Start => self.on_start(hooks, out, now),
            Input::Wake => self.on_wake(hooks, out, now),
            Input::Connected { attempt } => self.on_connected(attempt, out, now),
            Input::Failed { attempt, failure } => self.on_failed(attempt, failure, hooks, out, now),
            Input::Learned { attempt, security } => self.on_learned(attempt, security),
            Input::Lost {
                attempt,
                failure,
                verdict,
            } => self.on_lost(attempt, failure, verdict, hooks, out, now),
            Input::Reconnect => self.on_reconnect(hooks, out, now),
            Input::Close => self.on_close(out, now),
        }
    }

    /// When to call [`handle`](Self::handle) with [`Input::Wake`], if nothing else happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        let next = match &self.state {
            State::Waiting(plan) => plan.at,
            State::Dialing => self.attempts.iter().map(|a| a.order.deadline).min()?,
            State::Idle | State::Connected { .. } | State::Starved | State::Closed(_) => {
                return None;
            }
        };
        let end = self
            .limits()
            .elapsed
            .map_or(Time::MAX, |most| self.outage.since + most);
        match next.min(end) {
            Time::MAX => None,
            wake => Some(wake),
        }
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.state {
            State::Idle => Status::Idle,
            State::Waiting(plan) => Status::Waiting {
                endpoint: self.pool.slot(plan.slot).traits.id(),
                until: plan.at,
            },
            State::Dialing => match self.attempts.first() {
                Some(attempt) => Status::Dialing {
                    endpoint: attempt.order.endpoint,
                },
                None => Status::Starved,
            },
            State::Connected { link, since } => Status::Connected {
                link: *link,
                since: *since,
            },
            State::Starved => Status::Starved,
            State::Closed(reason) => Status::Closed(*reason),
        }
    }

    /// The policy it carries out.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    fn on_start(&mut self, hooks: &mut dyn Hooks, out: &mut Outbox, now: Time) -> Answer {
        if self.state != State::Idle {
            return Answer::Stale;
        }
        self.outage = Outage::new(1, now);
        if let Walk::Shuffled(Shuffle::Once | Shuffle::EachSweep) = self.policy.order().walk {
            self.pool.shuffle(&mut self.rng);
        }
        self.advance(hooks, out, now);
        Answer::Taken
    }

    fn on_wake(&mut self, hooks: &mut dyn Hooks, out: &mut Outbox, now: Time) -> Answer {
        if let Some(reason) = self.elapsed(now) {
            self.close(reason, out, now);
            return Answer::Taken;
        }
        if let Some(late) = self.attempts.iter().find(|a| a.order.deadline <= now) {
            let attempt = late.order.attempt;
            out.push(Output::Cancel(attempt));
            return self.on_failed(attempt, Failure::new(Kind::Timeout), hooks, out, now);
        }
        if let State::Waiting(plan) = self.state
            && plan.at <= now
        {
            self.dial(plan, out, now);
        }
        Answer::Taken
    }

    fn on_connected(&mut self, attempt: AttemptId, out: &mut Outbox, now: Time) -> Answer {
        let Some(attempt) = self.take_attempt(attempt) else {
            return Answer::Stale;
        };
        let DialOrder {
            endpoint, route, ..
        } = attempt.order;
        let link = Link {
            attempt: attempt.order.attempt,
            endpoint,
            route,
        };
        self.pool.slot_mut(attempt.slot).first_route = route;
        out.tell(Event::Attempt(attempt.ended(Ok(()), now)));
        out.tell(match (self.stage, self.round.lost) {
            (Stage::After, Some(from)) if from == endpoint => Event::Reconnected(link),
            (Stage::After, Some(from)) => Event::FailedOver { to: link, from },
            (Stage::After, None) | (Stage::StartUp { .. }, _) => Event::Connected(link),
        });
        self.stage = Stage::After;
        self.state = State::Connected { link, since: now };
        Answer::Taken
    }

    fn on_failed(
        &mut self,
        attempt: AttemptId,
        failure: Failure,
        hooks: &mut dyn Hooks,
        out: &mut Outbox,
        now: Time,
    ) -> Answer {
        let Some(attempt) = self.take_attempt(attempt) else {
            return Answer::Stale;
        };
        let mark = out.mark();
        out.tell(Event::Attempt(attempt.ended(Err(failure), now)));
        self.outage.last_failure = Some(failure);
        match self.next_route(&attempt, failure) {
            Some(route) => {
                let at = self.pool.slot(attempt.slot).floor.max(now);
                let (slot, place) = (attempt.slot, attempt.place);
                self.enter(
                    Plan {
                        slot,
                        place,
                        route,
                        at,
                    },
                    out,
                    now,
                );
            }
            None => {
                self.book_failed_turn(attempt.slot, failure, now);
                match failure.scope {
                    Scope::Fatal => self.close(CloseReason::Fatal(failure), out, now),
                    Scope::Transient | Scope::Endpoint => self.advance(hooks, out, now),
                }
            }
        }
        out.amend(mark, self.planned(now));
        Answer::Taken
    }

    fn on_learned(&mut self, attempt: AttemptId, security: Security) -> Answer {
        let Some(attempt) = self.attempts.iter().find(|a| a.order.attempt == attempt) else {
            return Answer::Stale;
        };
        let slot = self.pool.slot_mut(attempt.slot);
        slot.traits.learn(attempt.order.route, security);
        Answer::Taken
    }

    fn on_lost(
        &mut self,
        attempt: AttemptId,
        failure: Failure,
        verdict: Verdict,
        hooks: &mut dyn Hooks,
        out: &mut Outbox,
        now: Time,
    ) -> Answer {
        let State::Connected { link, since } = self.state else {
            return Answer::Stale;
        };
        if link.attempt != attempt {
            return Answer::Stale;
        }
        let mark = out.mark();
        self.tell_disconnected(link, since, Why::Lost(failure), out, now);
        let proved = self.begin_outage(link, since, verdict, now);
        self.outage.last_failure = Some(failure);
        if let (Proved::Unstable, Some(slot)) = (proved, self.pool.find(link.endpoint)) {
            self.book_failed_turn(slot, failure, now);
        }
        if verdict == Verdict::Stop || failure.scope == Scope::Fatal {
            self.close(CloseReason::Fatal(failure), out, now);
        } else {
            self.advance(hooks, out, now);
        }
        out.amend(mark, self.planned(now));
        Answer::Taken
    }

    fn on_reconnect(&mut self, hooks: &mut dyn Hooks, out: &mut Outbox, now: Time) -> Answer {
        match self.state {
            State::Connected { link, since } => {
                let mark = out.mark();
                self.tell_disconnected(link, since, Why::Forced, out, now);
                out.push(Output::HangUp(link.attempt));
                self.begin_outage(link, since, Verdict::Next, now);
                // The user's wish is no failure: nothing is booked, and no wait is owed to it.
                self.advance(hooks, out, now);
                self.hurry(out, now);
                out.amend(mark, self.planned(now));
                Answer::Taken
            }
            State::Waiting(_) => {
                self.hurry(out, now);
                Answer::Taken
            }
            State::Idle | State::Dialing | State::Starved | State::Closed(_) => Answer::Stale,
        }
    }

    fn on_close(&mut self, out: &mut Outbox, now: Time) -> Answer {
        if let State::Connected { link, since } = self.state {
            self.tell_disconnected(link, since, Why::ByUser, out, now);
            out.push(Output::HangUp(link.attempt));
        }
        self.close(CloseReason::ByUser, out, now);
        Answer::Taken
    }

    /// Decides, and does it.
    fn advance(&mut self, hooks: &mut dyn Hooks, out: &mut Outbox, now: Time) {
        match self.decide(hooks, now) {
            Next::Close(reason) => self.close(reason, out, now),
            Next::Starve => {
                self.state = State::Starved;
                out.tell(Event::Starved);
            }
            Next::Dial(plan) => self.enter(plan, out, now),
        }
    }

    /// Dials now, or waits until it is time.
    fn enter(&mut self, plan: Plan, out: &mut Outbox, now: Time) {
        if plan.at <= now {
            self.dial(plan, out, now);
        } else {
            self.state = State::Waiting(plan);
        }
    }

    /// Cuts a wait short, down to the hard floor.
    fn hurry(&mut self, out: &mut Outbox, now: Time) {
        if let State::Waiting(plan) = self.state {
            let at = self.pool.slot(plan.slot).floor.max(now).min(plan.at);
            self.enter(Plan { at, ..plan }, out, now);
        }
    }

    fn dial(&mut self, plan: Plan, out: &mut Outbox, now: Time) {
        self.last_attempt += 1;
        self.outage.dials = self.outage.dials.saturating_add(1);
        if let Stage::StartUp {
            pinned: pinned @ None,
        } = &mut self.stage
        {
            *pinned = Some(plan.slot);
        }
        let slot = self.pool.slot_mut(plan.slot);
        slot.floor = now + MIN_REDIAL;
        if slot.round != self.round.number {
            slot.round = self.round.number;
            self.round.turns = self.round.turns.saturating_add(1);
        }
        self.round.place = plan.place + 1;
        let endpoint = slot.traits.id();
        let order = DialOrder {
            attempt: AttemptId::new(self.last_attempt),
            endpoint,
            route: plan.route,
            role: Role::Main,
            purpose: match (self.stage, self.round.lost) {
                (Stage::After, Some(lost)) if lost == endpoint => Purpose::Reconnect,
                (Stage::After, _) => Purpose::Failover,
                (Stage::StartUp { .. }, _) => Purpose::First,
            },
            number: self.outage.dials,
            deadline: now + self.policy.deadline(),
        };
        self.attempts.push(Attempt {
            order,
            slot: plan.slot,
            place: plan.place,
            started: now,
        });
        self.state = State::Dialing;
        out.push(Output::Dial(order));
    }

    fn close(&mut self, reason: CloseReason, out: &mut Outbox, now: Time) {
        for attempt in self.attempts.drain(..) {
            out.push(Output::Cancel(attempt.order.attempt));
            let cancelled = Failure::new(Kind::Cancelled);
            out.tell(Event::Attempt(attempt.ended(Err(cancelled), now)));
        }
        self.state = State::Closed(reason);
        out.tell(Event::Closed(reason));
    }

    /// A connection ended: an outage begins, or, if the connection did not prove stable, the one
    /// before it goes on with its counters.
    fn begin_outage(&mut self, link: Link, since: Time, verdict: Verdict, now: Time) -> Proved {
        self.round.lost = Some(link.endpoint);
        self.round.verdict = verdict;
        let slot = self.pool.find(link.endpoint);
        if let Some(slot) = slot {
            self.pool.slot_mut(slot).ended = now;
        }
        if self.policy.order().walk == Walk::Shuffled(Shuffle::EachLoss) {
            self.pool.shuffle(&mut self.rng);
            self.round.place = 0;
        }
        let lived = now.since(since);
        if lived < self.policy.stable_after() {
            // The time with a connection does not count as time without one.
            self.outage.since = self.outage.since + lived;
            return Proved::Unstable;
        }
        self.outage = self.outage.next(now);
        self.round.begin();
        if let Some(slot) = slot {
            self.pool.slot_mut(slot).reset();
            if self.round.place_of_lost(self.policy.order().lost) == Lost::TurnTaken {
                self.pool.slot_mut(slot).round = self.round.number;
            }
        }
        if self.policy.order().walk == Walk::Shuffled(Shuffle::EachSweep) {
            self.pool.shuffle(&mut self.rng);
        }
        Proved::Stable
    }

    fn book_failed_turn(&mut self, index: SlotIndex, failure: Failure, now: Time) {
        let limits = self.limits();
        let outage = self.outage.number;
        self.outage.failed_turns = self.outage.failed_turns.saturating_add(1);
        let slot = self.pool.slot_mut(index);
        if slot.retired_in != 0 && slot.retired_in != outage {
            slot.reset();
        }
        slot.failures = slot.failures.saturating_add(1);
        slot.ended = now;
        if limits.per_endpoint.is_reached(slot.failures) {
            slot.retired_in = outage;
        }
        let hint = failure.retry_after.map(|hint| hint.min(LONGEST_BENCH));
        let bench = match failure.scope {
            Scope::Endpoint => {
                slot.benched = slot.benched.saturating_add(1);
                let doubled = BENCH.saturating_mul(1 << (slot.benched - 1).min(10));
                Some(doubled.min(LONGEST_BENCH))
            }
            Scope::Transient | Scope::Fatal => {
                slot.benched = 0;
                None
            }
        };
        if let Some(longer) = hint.max(bench) {
            slot.ready_at = slot.ready_at.max(now + longer);
        }
    }

    /// The route to try next within this turn, if the failure is one that another route may avoid.
    fn next_route(&self, failed: &Attempt, failure: Failure) -> Option<u8> {
        if failure.scope == Scope::Fatal || !failure.kind.invites_next_route() {
            return None;
        }
        let slot = self.pool.slot(failed.slot);
        let tried_tls = slot.traits.security(failed.order.route) == Security::Tls;
        let no_plain = tried_tls && self.policy.plain_fallback() == PlainFallback::Refuse;
        // The route that worked last went first, then the others in their order.
        let first = slot.first_route;
        let mut order =
            core::iter::once(first).chain((0..slot.traits.routes()).filter(|&r| r != first));
        order.find(|&route| route == failed.order.route)?;
        order.find(|&route| !(no_plain && slot.traits.security(route) == Security::Plain))
    }

    fn take_attempt(&mut self, attempt: AttemptId) -> Option<Attempt> {
        let at = self
            .attempts
            .iter()
            .position(|a| a.order.attempt == attempt)?;
        Some(self.attempts.remove(at))
    }

    fn tell_disconnected(&self, link: Link, since: Time, why: Why, out: &mut Outbox, now: Time) {
        out.tell(Event::Disconnected {
            link,
            why,
            lived: now.since(since),
            next: None,
        });
    }

    fn planned(&self, now: Time) -> Option<Planned> {
        let (slot, route, at) = match &self.state {
            State::Waiting(plan) => (plan.slot, plan.route, plan.at),
            State::Dialing => {
                let attempt = self.attempts.first()?;
                (attempt.slot, attempt.order.route, now)
            }
            State::Idle | State::Connected { .. } | State::Starved | State::Closed(_) => {
                return None;
            }
        };
        Some(Planned {
            endpoint: self.pool.slot(slot).traits.id(),
            route,
            wait: at.since(now),
        })
    }

    fn limits(&self) -> Limits {
        match self.stage {
            Stage::StartUp { .. } => self.policy.start_up_limits(),
            Stage::After => self.policy.limits(),
        }
    }

    fn elapsed(&self, now: Time) -> Option<CloseReason> {
        if let State::Idle | State::Connected { .. } = self.state {
            return None;
        }
        let most = self.limits().elapsed?;
        (now.since(self.outage.since) >= most).then_some(CloseReason::Elapsed(most))
    }
}

enum Proved {
    Stable,
    Unstable,
}

impl Attempt {
    fn ended(&self, outcome: Result<(), Failure>, now: Time) -> AttemptEnded {
        AttemptEnded {
            order: self.order,
            outcome,
            took: now.since(self.started),
            next: None,
        }
    }
}
