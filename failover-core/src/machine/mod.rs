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
//! let mut machine = Machine::new(Arc::new(Policy::default()), endpoints, Seed::new(7));
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

mod attempts;
mod change;
mod decide;
mod effort;
mod io;
mod lost;
#[cfg(feature = "serde")]
mod memory;
mod outage;
mod outside;
mod race;
#[cfg(feature = "sim")]
mod rest;
mod tidy;

use alloc::boxed::Box;
use alloc::sync::Arc;

use self::attempts::Attempt;
use self::effort::{Extras, Hooked};
pub use self::io::{
    Answer, AttemptEnded, Change, CloseReason, DialOrder, Event, Input, Link, Move, Outbox, Output,
    Planned, Verdict, Whither, Why,
};
#[cfg(feature = "serde")]
pub(crate) use self::memory::Memory;
use self::outage::{Outage, Plan};
#[cfg(feature = "sim")]
pub(crate) use self::rest::Rest;
use crate::attempt::AttemptId;
use crate::endpoint::{EndpointId, Endpoints};
use crate::failure::{Failure, Kind};
use crate::few::Few;
use crate::policy::{Hooks, Limits, NobodyReady, Policy, Seed, Shuffle, Walk};
pub use crate::pool::Condition;
use crate::pool::{MaybeSlot, Pool, SlotIndex};
use crate::random::Random;
use crate::time::Time;

/// Decides when to dial whom.
///
/// # The one law of its life
/// `handle` is the only thing that changes it. After each call the caller empties the outbox and
/// arms one timer for [`next_wake`](Self::next_wake); then one of these is true (law L14): a dial is
/// in flight, a wake-up is due, or the [`status`](Self::status) is connected, idle, paused, starved
/// or closed, each of which names the input that ends it.
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
/// While connected, dials on the side may be in flight: spares, probes, a move.
///
/// # Memory
/// Policy and list are shared. Beside them a machine with three endpoints takes 256 bytes, its heap
/// included, on a 64-bit target. Each further endpoint takes 24; in a list of more than 64, up to 54,
/// for then there is an index and no step walks the list.
///
/// Extra are 32 bytes for each endpoint that ever rested, was retired or waited for a pace of its
/// own, and 248 bytes, with what they hold, for races, spares, moves, pauses, resume windows and delay
/// hooks, made when the first of them begins. A step takes memory only when there is more to hold than ever before.
/// Endpoints that left take room until they are more than eight and outnumber those that are there; then they
/// are forgotten, but the few that a connection or the next decision still needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    policy: Arc<Policy>,
    pool: Pool,
    rng: Random,
    /// The latest time that was told: time never runs backwards here.
    latest: Time,
    last_attempt: u64,
    attempts: Few<Attempt>,
    state: State,
    stage: Stage,
    outage: Outage,
    /// What few machines need: spares, probes, moves, races, a resume window, hooks.
    extras: Option<Box<Extras>>,
}

/// What the machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Not started. [`Input::Start`] ends it.
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
    /// Connected. [`Input::Lost`] ends it.
    Connected {
        /// To whom, by which dial.
        link: Link,
        /// Since when.
        since: Time,
    },
    /// Told to start no dials. [`Input::Resume`] ends it.
    Paused,
    /// No endpoint to dial. [`Change::Add`] or [`Change::On`] ends it.
    Starved,
    /// Over.
    Closed(CloseReason),
}

#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
enum State {
    Idle,
    Waiting(Plan),
    Dialing,
    /// The fields of a [`Live`], and not one: that takes 8 bytes less, and there are many machines.
    Connected {
        attempt: AttemptId,
        since: Time,
        slot: SlotIndex,
        route: u8,
    },
    Paused,
    Starved,
    Closed(Box<CloseReason>),
}

impl State {
    /// The connection in use, if there is one.
    fn live(&self) -> Option<Live> {
        match *self {
            Self::Connected {
                attempt,
                since,
                slot,
                route,
            } => Some(Live {
                attempt,
                since,
                slot,
                route,
            }),
            Self::Idle
            | Self::Waiting(_)
            | Self::Dialing
            | Self::Paused
            | Self::Starved
            | Self::Closed(_) => None,
        }
    }
}

impl From<Live> for State {
    fn from(live: Live) -> Self {
        let Live {
            attempt,
            since,
            slot,
            route,
        } = live;
        Self::Connected {
            attempt,
            since,
            slot,
            route,
        }
    }
}

/// A connection that stands.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
struct Live {
    attempt: AttemptId,
    since: Time,
    slot: SlotIndex,
    route: u8,
}

/// Whether there ever was a connection: other limits apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
enum Stage {
    /// Not yet. Under [`Start::FirstOnly`](crate::policy::Start) this endpoint alone is dialled.
    StartUp { pinned: MaybeSlot },
    After {
        /// The server lost last.
        lost: MaybeSlot,
    },
}

/// What comes with one call of `handle`.
struct Cx<'a> {
    hooks: &'a mut dyn Hooks,
    out: &'a mut Outbox,
    now: Time,
}

impl Machine {
    /// A machine for these endpoints, in the order of their ids. It does nothing before
    /// [`Input::Start`].
    #[must_use]
    pub fn new(policy: Arc<Policy>, endpoints: impl Into<Endpoints>, seed: Seed) -> Self {
        let mut rng = Random::new(seed);
        Self {
            pool: Pool::new(endpoints.into(), policy.order().walk, &mut rng),
            policy,
            rng,
            latest: Time::ZERO,
            last_attempt: 0,
            attempts: Few::None,
            state: State::Idle,
            stage: Stage::StartUp {
                pinned: MaybeSlot::NONE,
            },
            outage: Outage::new(Time::ZERO),
            extras: None,
        }
    }

    /// The same with an index, however short the list is.
    #[cfg(all(test, feature = "sim"))]
    pub(crate) fn with_index(mut self) -> Self {
        self.pool = self
            .pool
            .with_index(self.policy.order().walk, &mut self.rng);
        self
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
        let cx = &mut Cx { hooks, out, now };
        match input {
            Input::Start => self.on_start(cx),
            Input::Wake => self.on_wake(cx),
            Input::Connected { attempt } => self.on_connected(attempt, cx),
            Input::Held { attempt } => self.on_held(attempt, cx.now),
            Input::Begun { attempt } => self.on_begun(attempt, cx.now),
            Input::Failed { attempt, failure } => self.on_failed(attempt, failure, cx),
            Input::Learned { attempt, security } => self.on_learned(attempt, security),
            Input::Lost {
                attempt,
                failure,
                verdict,
            } => self.on_lost(attempt, failure, verdict, cx),
            Input::Drain { attempt } => self.on_drain(attempt, cx),
            Input::Reconnect(whither) => self.on_reconnect(whither, cx),
            Input::Pause => self.on_pause(cx),
            Input::Resume => self.on_resume(cx),
            Input::Change(change) => self.on_change(change, cx),
            Input::Rests { endpoint, until } => self.on_rests(endpoint, until, cx),
            Input::Recovered { endpoint } => self.on_recovered(endpoint, cx),
            Input::Close => self.on_close(cx),
        }
    }

    /// When to call [`handle`](Self::handle) with [`Input::Wake`], if nothing else happens before.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        let planned = match &self.state {
            State::Waiting(plan) => Some(plan.at),
            State::Dialing | State::Connected { .. } | State::Starved => None,
            State::Idle | State::Paused | State::Closed(_) => return None,
        };
        let deadline = self
            .attempts
            .iter()
            .map(|attempt| self.ends_by(attempt))
            .min();
        let wake = planned
            .into_iter()
            .chain(deadline)
            .chain(self.end_of_patience())
            .chain(
                self.extras
                    .iter()
                    .filter_map(|extras| extras.next_wake(&self.state)),
            )
            .min()?;
        (wake != Time::MAX).then_some(wake)
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.state {
            State::Idle => Status::Idle,
            State::Waiting(plan) => Status::Waiting {
                endpoint: self.pool.id(plan.slot),
                until: plan.at,
            },
            State::Dialing => match self.attempts.first() {
                Some(attempt) => Status::Dialing {
                    endpoint: attempt.endpoint,
                },
                None => Status::Starved,
            },
            State::Connected {
                attempt,
                since,
                slot,
                route,
            } => Status::Connected {
                link: Link {
                    attempt: *attempt,
                    endpoint: self.pool.id(*slot),
                    route: *route,
                },
                since: *since,
            },
            State::Paused => Status::Paused,
            State::Starved => Status::Starved,
            State::Closed(reason) => Status::Closed(**reason),
        }
    }

    /// Whether this endpoint may be dialled, and from when on; `None` for one that it does not know. One that
    /// was removed is forgotten later, once those that left outnumber those that are there.
    #[must_use]
    pub fn condition(&self, endpoint: EndpointId) -> Option<(Condition, Time)> {
        let slot = self.pool.find(endpoint)?;
        Some((self.pool.condition(slot), self.pool.slot(slot).not_before()))
    }

    /// The policy it carries out.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    fn on_start(&mut self, cx: &mut Cx<'_>) -> Answer {
        if self.state != State::Idle {
            return Answer::Stale;
        }
        self.outage = Outage::new(cx.now);
        if let Walk::Shuffled(Shuffle::Once | Shuffle::EachSweep) = self.policy.order().walk {
            self.pool.shuffle(&mut self.rng);
        }
        self.advance(cx);
        Answer::Taken
    }

    fn on_wake(&mut self, cx: &mut Cx<'_>) -> Answer {
        if self.is_out_of_patience(cx) {
            return Answer::Taken;
        }
        while let Some(late) = self.attempts.iter().find(|a| self.ends_by(a) <= cx.now) {
            let attempt = late.id;
            cx.out.push(Output::Cancel(attempt));
            self.on_failed(attempt, Failure::new(Kind::Timeout), cx);
        }
        self.end_resume_window(cx);
        if let State::Waiting(plan) = self.state
            && plan.at <= cx.now
        {
            self.dial(plan, cx);
        }
        self.race(cx);
        self.work_on_the_side(cx);
        Answer::Taken
    }

    fn on_pause(&mut self, cx: &mut Cx<'_>) -> Answer {
        self.extras_mut().paused = true;
        self.cancel_all(cx);
        match self.state {
            State::Waiting(_) | State::Dialing | State::Starved => self.state = State::Paused,
            State::Idle | State::Connected { .. } | State::Paused | State::Closed(_) => {}
        }
        Answer::Taken
    }

    fn on_resume(&mut self, cx: &mut Cx<'_>) -> Answer {
        if self.is_out_of_patience(cx) {
            return Answer::Taken;
        }
        if let Some(extras) = &mut self.extras {
            extras.paused = false;
        }
        let spread = crate::time::nanos(self.policy.standing().wake_spread);
        let soon = cx.now.after(crate::policy::draw(0, spread, &mut self.rng));
        match self.state {
            State::Paused => {
                // The pause stood in for the wait; the spread keeps clients apart.
                let next = match self.resume_after_pause(cx) {
                    Some(plan) => Next::Dial(plan),
                    None => self.decide(cx),
                };
                match next {
                    Next::Dial(plan) => {
                        let at = self.hurried(plan, cx.now).max(soon);
                        self.enter(Plan { at, ..plan }, cx);
                    }
                    other @ (Next::Close(_) | Next::Starve) => self.enter_next(other, cx),
                }
            }
            State::Waiting(plan) => {
                let at = plan.at.min(self.hurried(plan, cx.now).max(soon));
                self.enter(Plan { at, ..plan }, cx);
            }
            State::Idle
            | State::Dialing
            | State::Connected { .. }
            | State::Starved
            | State::Closed(_) => {}
        }
        self.hurry_on_the_side(soon);
        self.work_on_the_side(cx);
        Answer::Taken
    }

    fn on_close(&mut self, cx: &mut Cx<'_>) -> Answer {
        if let Some(live) = self.state.live() {
            self.tell_disconnected(live, Why::ByUser, cx);
            self.hang_up(live, cx);
        }
        self.close(CloseReason::ByUser, cx);
        Answer::Taken
    }

    /// Decides, and does it.
    fn advance(&mut self, cx: &mut Cx<'_>) {
        if self.extras.as_ref().is_some_and(|extras| extras.paused) {
            self.state = State::Paused;
            return;
        }
        let next = self.decide(cx);
        self.enter_next(next, cx);
    }

    fn enter_next(&mut self, next: Next, cx: &mut Cx<'_>) {
        match next {
            Next::Close(reason) => self.close(reason, cx),
            Next::Starve => {
                self.state = State::Starved;
                if !core::mem::replace(&mut self.extras_mut().told_starved, true) {
                    cx.out.tell(Event::Starved);
                }
            }
            Next::Dial(plan) => self.enter(plan, cx),
        }
    }

    /// Dials now, or waits until it is time.
    fn enter(&mut self, plan: Plan, cx: &mut Cx<'_>) {
        if plan.at <= cx.now {
            self.dial(plan, cx);
        } else {
            self.state = State::Waiting(plan);
        }
    }

    /// The earliest time for this plan, its wait left out: now, or when the hard floor allows; but not
    /// before its endpoint has rested.
    fn hurried(&self, plan: Plan, now: Time) -> Time {
        let rested = match self.policy.nobody_ready() {
            NobodyReady::LeastBad => None,
            NobodyReady::Wait | NobodyReady::Fail => self.pool.ready_at(plan.slot),
        };
        let at = self.forced(plan, now);
        rested.map_or(at, |rested| at.max(rested).min(plan.at))
    }

    /// The same for an endpoint that the user named, which is dialled even if it rests.
    fn forced(&self, plan: Plan, now: Time) -> Time {
        self.pool.slot(plan.slot).floor().max(now)
    }

    fn close(&mut self, reason: CloseReason, cx: &mut Cx<'_>) {
        self.cancel_all(cx);
        for spare in self
            .extras
            .take()
            .into_iter()
            .flat_map(|extras| extras.spares)
        {
            self.hang_up(spare, cx);
        }
        self.state = State::Closed(Box::new(reason));
        cx.out.tell(Event::Closed(reason));
    }

    fn hang_up(&self, live: Live, cx: &mut Cx<'_>) {
        cx.out.push(Output::HangUp {
            attempt: live.attempt,
            grace: self.policy.standing().grace,
        });
    }

    fn tell_disconnected(&self, live: Live, why: Why, cx: &mut Cx<'_>) {
        cx.out.tell(Event::Disconnected {
            link: self.link(live),
            why,
            lived: cx.now.since(live.since),
            next: None,
        });
    }

    /// What comes next, for the event that led to it.
    fn planned(&self, now: Time) -> Option<Planned> {
        let (slot, route, at) = match &self.state {
            State::Waiting(plan) => (plan.slot, plan.route, plan.at),
            State::Dialing => {
                let attempt = self.attempts.last()?;
                (attempt.slot, attempt.route, now)
            }
            State::Idle
            | State::Connected { .. }
            | State::Paused
            | State::Starved
            | State::Closed(_) => return None,
        };
        Some(Planned {
            endpoint: self.pool.id(slot),
            route,
            wait: at.since(now),
        })
    }

    /// When to give up at this stage; nothing if it never does.
    fn limits(&self) -> Option<&Limits> {
        match self.stage {
            Stage::StartUp { .. } => self.policy.start_up_limits_if_any(),
            Stage::After { .. } => self.policy.limits_if_any(),
        }
    }

    /// When the limit of time strikes.
    fn end_of_patience(&self) -> Option<Time> {
        match self.state {
            State::Waiting(_) | State::Dialing | State::Starved => {
                Some(self.outage.since + self.limits()?.elapsed?)
            }
            State::Idle | State::Connected { .. } | State::Paused | State::Closed(_) => None,
        }
    }

    /// Closes if the limit of time struck.
    fn is_out_of_patience(&mut self, cx: &mut Cx<'_>) -> bool {
        let over = self.end_of_patience().is_some_and(|end| end <= cx.now);
        if let Some(reason) = self.elapsed(cx.now).filter(|_| over) {
            self.close(reason, cx);
        }
        over
    }

    fn elapsed(&self, now: Time) -> Option<CloseReason> {
        let most = self.limits()?.elapsed?;
        (now.since(self.outage.since) >= most).then_some(CloseReason::Elapsed(most))
    }

    /// A connection as it is told.
    fn link(&self, live: Live) -> Link {
        Link {
            attempt: live.attempt,
            endpoint: self.pool.id(live.slot),
            route: live.route,
        }
    }

    /// The server lost last.
    fn lost(&self) -> Option<SlotIndex> {
        match self.stage {
            Stage::StartUp { .. } => None,
            Stage::After { lost } => lost.get(),
        }
    }

    /// The outage ended with a connection that proved stable; another began at this time.
    fn next_outage(&mut self, since: Time) {
        self.outage = self.outage.next(since);
        self.pool.next_outage();
        if let Some(extras) = &mut self.extras {
            extras.hooked = Hooked::default();
        }
    }

    fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }
}

/// What to do next.
enum Next {
    Close(CloseReason),
    Starve,
    Dial(Plan),
}
