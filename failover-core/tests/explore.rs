//! Every history of a small world, breadth first: whatever happens next, in every state, the laws
//! hold; and from every state a world that heals is connected to within the policy's own bound,
//! counted from when the first that may be dialled has rested.
//!
//! A world is bounded by how much may fail and how many words of the user and of the server may come
//! in one history; within that, everything that may happen at a step is tried. Time is coarse: an
//! answer takes 100 ms, or less if a wake-up is due before; a connection is lost after 100 ms or
//! when it just proved stable; wake-ups are in time. Policies are without draws.
//!
//! States are told apart by everything that the machine holds and that may decide something under
//! this policy, with times counted from now and dials from the newest, so that histories that lead
//! to the same place are followed once and the world closes. What is printed says whether it did.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::collapsible_match,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    missing_docs
)]

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use failover_core::attempt::{AttemptId, Role};
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind, Scope};
use failover_core::machine::{
    Answer, Change, Condition, DialOrder, Event, Input, Machine, Outbox, Output, Status, Verdict,
    Whither,
};
use failover_core::policy::{
    Backoff, Every, Failback, Health, Jitter, Limit, Limits, Lost, MIN_REDIAL, NoHooks,
    NobodyReady, Order, Overlap, Pace, Policy, PolicyBuilder, Ratio, Resume, Seed, Standing, Walk,
};
use failover_core::race::{Race, Stagger};
use failover_core::time::Time;

const SECOND: Duration = Duration::from_secs(1);
/// What an answer takes.
const TICK: Duration = Duration::from_millis(100);
const STABLE: Duration = Duration::from_secs(2);
/// How far back a beginning is told apart: further than any limit of time here.
const LONGEST: u64 = 40_000_000_000;
/// How many endpoints there may be.
const MOST: u32 = 4;
const REFUSED: Failure = Failure::new(Kind::Refused);
const RESET: Failure = Failure::new(Kind::Reset);
const AUTH: Failure = Failure::new(Kind::Auth).scope(Scope::Endpoint);

#[test]
fn default_like() {
    explore("default-like", flat(3), &USUAL, policy());
    explore("default-like", flat(2), &[bounds(2, 2)], policy());
}

#[test]
fn nats_like() {
    let limits = Limits::UNLIMITED.per_endpoint(Limit::AtMost(3));
    let policy = policy()
        .pace(Pace::new(Backoff::Constant(2 * SECOND)))
        .limits(limits)
        .start_up_limits(Limits::UNLIMITED.sweeps(Limit::AtMost(2)));
    explore("NATS-like", flat(3), &USUAL, policy);
}

#[test]
fn activemq_like() {
    let policy = policy()
        .order(Order::new(Walk::Listed).lost(Lost::Last))
        .pace(doubling().first(SECOND / 4))
        .limits(
            Limits::UNLIMITED
                .sweeps(Limit::AtMost(3))
                .elapsed(30 * SECOND),
        );
    explore("ActiveMQ-like", flat(3), &USUAL, policy);
}

#[test]
fn stompit_like() {
    let law = Backoff::Affine {
        initial: SECOND / 4,
        factor: Ratio::TWO,
    };
    let policy = policy()
        .order(Order::new(Walk::Rotate).lost(Lost::InPlace))
        .pace(Pace::new(law).every(Every::Endpoint));
    explore("a wait per endpoint", flat(3), &USUAL, policy);
}

#[test]
fn a_wait_before_every_attempt() {
    let policy = policy()
        .order(Order::new(Walk::LeastFailed).lost(Lost::First))
        .pace(doubling().every(Every::Attempt));
    explore("a wait before every attempt", flat(4), &USUAL, policy);
}

#[test]
fn overlap_forbidden() {
    let standing = standing().overlap(Overlap::Forbidden);
    explore(
        "overlap forbidden",
        flat(3),
        &USUAL,
        policy().standing(standing),
    );
}

#[test]
fn a_race_of_two() {
    let race = Race::new(2, Stagger::Fixed(SECOND / 4)).unwrap();
    explore(
        "a race of two",
        flat(3),
        &[bounds(3, 0), bounds(2, 1)],
        policy().race(race),
    );
}

#[test]
fn one_spare() {
    let standing = standing().spares(1);
    explore(
        "one spare",
        flat(3),
        &[bounds(4, 0), bounds(2, 1)],
        policy().standing(standing),
    );
}

#[test]
fn a_resume_window() {
    let policy = policy().resume(Resume::new(3 * SECOND, SECOND));
    explore("a resume window", flat(2), &USUAL, policy);
}

#[test]
fn failback_to_a_lower_tier() {
    let failback = Failback::default()
        .every(2 * SECOND)
        .good_probes(1)
        .settle(Duration::ZERO);
    let standing = standing().failback(failback);
    let endpoints = vec![traits(0), traits(1).tier(1)];
    // Probes are drawn: with a server that is off they never come back to an earlier state.
    explore(
        "failback",
        endpoints,
        &[bounds(5, 0)],
        policy().standing(standing),
    );
}

#[test]
fn two_routes() {
    let server = |n| traits(n).route(Security::Plain);
    explore("two routes", vec![server(0), server(1)], &USUAL, policy());
}

#[test]
fn the_least_bad() {
    let policy = policy().nobody_ready(NobodyReady::LeastBad);
    explore("the least bad", flat(2), &USUAL, policy);
}

#[test]
fn nobody_ready_fails() {
    let policy = policy().nobody_ready(NobodyReady::Fail);
    explore("nobody ready fails", flat(2), &USUAL, policy);
}

fn flat(endpoints: u32) -> Vec<Traits> {
    (0..endpoints).map(traits).collect()
}

fn traits(n: u32) -> Traits {
    Traits::new(EndpointId::new(n)).route(Security::Plain)
}

fn doubling() -> Pace {
    Pace::new(Backoff::Exponential {
        base: SECOND / 2,
        factor: Ratio::TWO,
    })
    .cap(2 * SECOND)
}

/// The default with coarse times and without draws.
fn policy() -> PolicyBuilder {
    Policy::builder()
        .order(Order::new(Walk::Rotate))
        .pace(doubling())
        .jitter(Jitter::None)
        .tls_jitter(Jitter::None)
        .health(Health::default().initial(4 * SECOND).maximum(8 * SECOND))
        .stable_after(STABLE)
        .deadline(SECOND)
        .standing(standing())
}

/// Without draws.
fn standing() -> Standing {
    Standing::default()
        .drain_spread(Duration::ZERO)
        .wake_spread(Duration::ZERO)
}

/// How much may happen in one history; the world closes under it.
#[derive(Clone, Copy)]
struct Bounds {
    /// Dials that fail or run into their deadline, and connections that are lost.
    failures: u8,
    /// Words of the user and of the server. What undoes one (on, resume) is free.
    controls: u8,
}

/// Where a world is capped, for each policy; `FAILOVER_EXPLORE_STATES` in the environment sets another number,
/// and `FAILOVER_EXPLORE_BOUNDS=failures,controls` other bounds.
const STATES: usize = 60_000;

const fn bounds(failures: u8, controls: u8) -> Bounds {
    Bounds { failures, controls }
}

const USUAL: [Bounds; 2] = [bounds(5, 0), bounds(3, 1)];

fn explore(name: &str, endpoints: Vec<Traits>, all: &[Bounds], policy: PolicyBuilder) {
    let policy = Arc::new(policy.build().unwrap());
    let asked = std::env::var("FAILOVER_EXPLORE_BOUNDS").map(|text| {
        let (failures, controls) = text.split_once(',').unwrap();
        [bounds(failures.parse().unwrap(), controls.parse().unwrap())]
    });
    for bounds in asked.as_ref().map_or(all, |asked| asked) {
        explore_within(name, World::new(policy.clone(), endpoints.clone(), *bounds));
    }
}

fn explore_within(name: &str, mut root: World) {
    let most =
        std::env::var("FAILOVER_EXPLORE_STATES").map_or(STATES, |most| most.parse().unwrap());
    let bounds = root.left;
    let began = std::time::Instant::now();
    root.step(Step::Start).unwrap();
    let mut seen = HashSet::from([root.key()]);
    let mut frontier = VecDeque::from([(root, Trail(None), 0)]);
    let (mut deepest, mut steps, mut healed) = (0, 0, 0);
    while let Some((world, trail, depth)) = frontier.pop_front() {
        deepest = deepest.max(depth);
        let broken = |broken: String, trail: &Trail| -> ! {
            panic!("{name}: {broken}\nafter {trail}\nin {:?}", world.machine)
        };
        world
            .ignores_the_stale()
            .and_then(|()| world.heals(&mut healed))
            .unwrap_or_else(|why| broken(why, &trail));
        for step in world.possible() {
            let mut next = world.clone();
            let trail = trail.then(step);
            next.step(step).unwrap_or_else(|why| broken(why, &trail));
            steps += 1;
            if seen.len() < most && seen.insert(next.key()) {
                frontier.push_back((next, trail, depth + 1));
            }
        }
    }
    let how = match seen.len() < most {
        true => "all",
        false => "capped, not all:",
    };
    println!(
        "{name}, {} failures, {} controls: {how} {} states, {steps} steps, depth {deepest}; {healed} dials to heal; {:.1?}",
        bounds.failures,
        bounds.controls,
        seen.len(),
        began.elapsed()
    );
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Start,
    Accept(AttemptId),
    Fail(AttemptId, Failure),
    /// Before or after the connection proved stable.
    Lose(AttemptId, Duration),
    Wake,
    Reconnect(Whither),
    Drain(AttemptId),
    Off,
    On,
    Remove,
    Add,
    Pause,
    Resume,
    Close,
}

impl Step {
    /// Whether it counts among the controls.
    fn is_control(self) -> bool {
        let of_the_world = matches!(
            self,
            Self::Start | Self::Accept(_) | Self::Fail(..) | Self::Lose(..) | Self::Wake
        );
        !of_the_world && !matches!(self, Self::On | Self::Resume)
    }
}

/// How a state came about, for the report.
#[derive(Clone)]
struct Trail(Option<Rc<(Trail, Step)>>);

impl Trail {
    fn then(&self, step: Step) -> Self {
        Self(Some(Rc::new((self.clone(), step))))
    }
}

impl std::fmt::Display for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            None => f.write_str("start"),
            Some(last) => write!(f, "{}\n  {:?}", last.0, last.1),
        }
    }
}

#[derive(Clone)]
struct World {
    machine: Machine,
    endpoints: u32,
    first_count: u32,
    now: Time,
    dials: Vec<DialOrder>,
    connections: Vec<(AttemptId, EndpointId, Time)>,
    /// A connection was announced and not taken back.
    up: bool,
    off: bool,
    removed: bool,
    paused: bool,
    last_dial: [Option<Time>; MOST as usize],
    rests_until: [Time; MOST as usize],
    /// The newest dial: another route of the same server belongs to its turn.
    newest: Option<(EndpointId, u8)>,
    /// The user asked for this one, even if it rests.
    asked_for: Option<EndpointId>,
    /// The dial that does it: cancelled, it leaves the word standing.
    asked_dial: Option<AttemptId>,
    left: Bounds,
    failed: bool,
}

impl World {
    fn new(policy: Arc<Policy>, endpoints: Vec<Traits>, bounds: Bounds) -> Self {
        Self {
            endpoints: u32::try_from(endpoints.len()).unwrap(),
            first_count: u32::try_from(endpoints.len()).unwrap(),
            machine: Machine::new(policy, endpoints, Seed::new(1)),
            now: Time::ZERO + SECOND,
            dials: Vec::new(),
            connections: Vec::new(),
            up: false,
            off: false,
            removed: false,
            paused: false,
            last_dial: [None; MOST as usize],
            rests_until: [Time::ZERO; MOST as usize],
            newest: None,
            asked_for: None,
            asked_dial: None,
            left: bounds,
            failed: false,
        }
    }

    fn possible(&self) -> Vec<Step> {
        if let Status::Closed(_) = self.machine.status() {
            return vec![Step::Wake, Step::Close];
        }
        let mut steps = Vec::new();
        let may_fail = self.left.failures > 0;
        for dial in &self.dials {
            steps.push(Step::Accept(dial.attempt));
            if may_fail {
                steps.push(Step::Fail(dial.attempt, REFUSED));
                steps.push(Step::Fail(dial.attempt, AUTH));
            }
        }
        if may_fail {
            for (connection, ..) in &self.connections {
                steps.push(Step::Lose(*connection, TICK));
                steps.push(Step::Lose(*connection, STABLE));
            }
        }
        if let Some(wake) = self.machine.next_wake()
            && self.late_by(wake) <= usize::from(self.left.failures)
        {
            steps.push(Step::Wake);
        }
        if self.off {
            steps.push(Step::On);
        }
        if self.paused {
            steps.push(Step::Resume);
        }
        if self.left.controls > 0 {
            self.controls(&mut steps);
        }
        steps
    }

    fn controls(&self, steps: &mut Vec<Step>) {
        steps.push(Step::Reconnect(Whither::Any));
        steps.push(Step::Reconnect(Whither::Other));
        steps.push(Step::Reconnect(Whither::This(EndpointId::new(1))));
        steps.extend(self.active().map(Step::Drain));
        if !self.off {
            steps.push(Step::Off);
        }
        if !self.paused {
            steps.push(Step::Pause);
        }
        if !self.removed {
            steps.push(Step::Remove);
        }
        if self.endpoints < MOST {
            steps.push(Step::Add);
        }
        steps.push(Step::Close);
    }

    /// How many dials run into their deadline by then.
    fn late_by(&self, time: Time) -> usize {
        let late = |dial: &&DialOrder| dial.deadline <= time;
        self.dials.iter().filter(late).count()
    }

    fn fail(&mut self, times: usize) {
        let times = u8::try_from(times).unwrap();
        self.failed |= times > 0;
        self.left.failures = self.left.failures.saturating_sub(times);
    }

    /// What may happen happens, and the laws that every step must keep are checked.
    fn step(&mut self, step: Step) -> Result<(), String> {
        // One that is retired comes back with a clean slate in the next outage.
        for (n, rest) in (0..).zip(&mut self.rests_until) {
            let condition = self.machine.condition(EndpointId::new(n));
            if condition.is_some_and(|(condition, _)| condition == Condition::Retired) {
                *rest = Time::ZERO;
            }
        }
        let was_closed = matches!(self.machine.status(), Status::Closed(_));
        let soon = self.machine.next_wake().map_or(self.now + TICK, |wake| {
            wake.max(self.now).min(self.now + TICK)
        });
        if step.is_control() {
            self.left.controls = self.left.controls.saturating_sub(1);
        }
        let input = match step {
            Step::Start => Input::Start,
            Step::Accept(attempt) => {
                self.now = soon;
                self.connect(attempt);
                Input::Connected { attempt }
            }
            Step::Fail(attempt, failure) => {
                self.now = soon;
                self.fail(1);
                Input::Failed { attempt, failure }
            }
            Step::Lose(attempt, life) => {
                let at = self.connections.iter().position(|c| c.0 == attempt);
                let (_, _, since) = self.connections.remove(at.unwrap());
                self.now = self.now.max(since + life);
                self.fail(1);
                Input::Lost {
                    attempt,
                    failure: RESET,
                    verdict: Verdict::AsPolicy,
                }
            }
            Step::Wake => {
                self.now = self.machine.next_wake().unwrap_or(self.now).max(self.now);
                self.fail(self.late_by(self.now));
                Input::Wake
            }
            Step::Reconnect(whither) => {
                if let Whither::This(endpoint) = whither {
                    self.asked_for = Some(endpoint);
                }
                Input::Reconnect(whither)
            }
            Step::Drain(attempt) => Input::Drain { attempt },
            Step::Remove => {
                self.removed = true;
                Input::Change(Change::Remove(self.last()))
            }
            Step::Add => {
                self.endpoints += 1;
                Input::Change(Change::Add(traits(self.endpoints - 1)))
            }
            Step::Pause | Step::Resume => {
                self.paused = step == Step::Pause;
                if self.paused {
                    Input::Pause
                } else {
                    Input::Resume
                }
            }
            Step::Off | Step::On => {
                self.off = step == Step::Off;
                let first = EndpointId::new(0);
                if !self.off {
                    self.rests_until[0] = Time::ZERO;
                }
                Input::Change(if self.off {
                    Change::Off(first)
                } else {
                    Change::On(first)
                })
            }
            Step::Close => Input::Close,
        };
        let mut out = Outbox::default();
        let answer = self.machine.handle(input, &mut NoHooks, &mut out, self.now);
        if was_closed {
            return match (answer, out.as_slice()) {
                (Answer::Closed, []) => Ok(()),
                other => Err(format!("L11: after the end {other:?}")),
            };
        }
        if let Step::Accept(attempt) = step {
            let endpoint = self.endpoint_in(attempt, out.as_slice());
            if let Some(endpoint) = endpoint {
                self.rests_until[endpoint] = Time::ZERO;
            }
        }
        let outputs: Vec<Output> = out.drain().collect();
        let count = outputs.len();
        for (n, output) in outputs.into_iter().enumerate() {
            self.note(output, n + 1 == count)
                .map_err(|broken| format!("{broken}, at {step:?}"))?;
        }
        let woken = step == Step::Wake;
        self.check(woken)
            .map_err(|broken| format!("{broken}, after {step:?}"))
    }

    fn connect(&mut self, attempt: AttemptId) {
        let at = self.dials.iter().position(|dial| dial.attempt == attempt);
        let dial = self.dials.remove(at.unwrap());
        self.connections.push((attempt, dial.endpoint, self.now));
    }

    fn endpoint_in(&self, attempt: AttemptId, outputs: &[Output]) -> Option<usize> {
        outputs.iter().find_map(|output| match output {
            Output::Event(Event::Attempt(ended)) if ended.order.attempt == attempt => {
                Some(ended.order.endpoint.number() as usize)
            }
            _ => None,
        })
    }

    fn note(&mut self, output: Output, last: bool) -> Result<(), String> {
        match output {
            Output::Dial(order) => {
                let n = order.endpoint.number() as usize;
                if self.off && n == 0 || self.removed && order.endpoint == self.last() {
                    return Err("L9: an endpoint that is off or removed is dialled".into());
                }
                if self.paused {
                    return Err(format!("{n} is dialled in a pause"));
                }
                if self.last_dial[n].is_some_and(|at| self.now.since(at) < MIN_REDIAL) {
                    return Err(format!("L8: {n} is dialled again within the hard floor"));
                }
                let least_bad = self.machine.policy().nobody_ready() == NobodyReady::LeastBad;
                let before = self.newest.replace((order.endpoint, order.route));
                let in_turn =
                    before.is_some_and(|(of, route)| of == order.endpoint && route != order.route);
                let asked_for = self.asked_for == Some(order.endpoint);
                if self.now < self.rests_until[n] && !asked_for && !least_bad && !in_turn {
                    return Err(format!("L9: {n} is dialled, which rests"));
                }
                if asked_for && order.role == Role::Main {
                    self.asked_for = None;
                    self.asked_dial = Some(order.attempt);
                }
                self.last_dial[n] = Some(self.now);
                self.dials.push(order);
            }
            Output::Cancel(attempt) => {
                if !self.dials.iter().any(|dial| dial.attempt == attempt) {
                    return Err(format!("{attempt} is cancelled, which is not in flight"));
                }
            }
            Output::HangUp { attempt, .. } => {
                let at = self.connections.iter().position(|c| c.0 == attempt);
                let Some(at) = at else {
                    return Err(format!("{attempt} is hung up, which is no connection"));
                };
                self.connections.remove(at);
            }
            Output::Event(event) => return self.hear(event, last),
            other => return Err(format!("{other:?}")),
        }
        Ok(())
    }

    fn hear(&mut self, event: Event, last: bool) -> Result<(), String> {
        match event {
            Event::Attempt(ended) => {
                let before = self.dials.len();
                self.dials
                    .retain(|dial| dial.attempt != ended.order.attempt);
                let cancelled = ended.outcome.is_err_and(|it| it.kind == Kind::Cancelled);
                if cancelled && self.asked_dial == Some(ended.order.attempt) {
                    self.asked_for = Some(ended.order.endpoint);
                }
                let connected = self.connections.iter().any(|c| c.0 == ended.order.attempt);
                match ended.outcome {
                    Ok(()) if !connected => return Err(format!("{ended:?} is not connected")),
                    Err(_) if self.dials.len() == before => {
                        return Err(format!("L15: {ended:?} was told before"));
                    }
                    _ => {}
                }
            }
            Event::Connected(_) | Event::Reconnected(_) | Event::FailedOver { .. } => {
                if std::mem::replace(&mut self.up, true) {
                    return Err(format!("L15: {event:?} while connected"));
                }
            }
            Event::Disconnected { .. } => {
                if !std::mem::replace(&mut self.up, false) {
                    return Err(format!("L15: {event:?} while not connected"));
                }
            }
            Event::Switching { .. } | Event::Moved { .. } if !self.up => {
                return Err(format!("L15: {event:?} while not connected"));
            }
            Event::Suspended { endpoint, until } => {
                self.rests_until[endpoint.number() as usize] = until;
            }
            Event::Closed(_) if !last => return Err("L11: something after the end".into()),
            Event::Closed(_) if self.up => return Err("L15: closed while connected".into()),
            _ => {}
        }
        Ok(())
    }

    /// The laws that hold in every state.
    fn check(&self, woken: bool) -> Result<(), String> {
        let status = self.machine.status();
        let wake = self.machine.next_wake();
        let standing = self.machine.policy().standing();
        if woken && wake.is_some_and(|wake| wake <= self.now) {
            return Err(format!("L14: it would spin: woken at {wake:?}, {status:?}"));
        }
        let progress = match status {
            Status::Waiting { .. } => wake.is_some(),
            Status::Dialing { .. } => !self.dials.is_empty() && wake.is_some(),
            Status::Connected { .. } => true,
            Status::Starved => (0..self.endpoints).all(|n| self.ready_in(n).is_none()),
            Status::Paused => self.paused && self.dials.is_empty(),
            Status::Closed(_) => self.dials.is_empty() && self.connections.is_empty(),
            other => return Err(format!("L14: {other:?}")),
        };
        if !progress {
            return Err(format!(
                "L14: no progress from {status:?}, {:?}",
                self.dials
            ));
        }
        if self.up != self.active().is_some() {
            return Err(format!("L15: told {}, but it is {status:?}", self.up));
        }
        let spare = usize::from(standing.spares);
        if self.connections.len() > 1 + spare {
            return Err(format!("too many connections: {:?}", self.connections));
        }
        let active = self.active();
        let doubled = |spare: &(AttemptId, EndpointId, Time)| {
            let twice = |other: &&(AttemptId, EndpointId, Time)| other.1 == spare.1;
            self.connections.iter().filter(twice).count() > 1 && active.is_some()
        };
        if self.connections.iter().any(doubled) {
            return Err(format!("two connections to one: {:?}", self.connections));
        }
        if standing.overlap == Overlap::Forbidden && self.connections.len() + self.dials.len() > 1 {
            return Err(format!("overlap: {:?} {:?}", self.connections, self.dials));
        }
        Ok(())
    }

    /// The endpoint that the list ends with, or ended with.
    fn last(&self) -> EndpointId {
        EndpointId::new(self.first_count - 1)
    }

    /// In what time this endpoint has rested, if it may be dialled at all.
    fn ready_in(&self, n: u32) -> Option<Duration> {
        let (condition, _) = self.machine.condition(EndpointId::new(n))?;
        let may = condition <= Condition::Suspended;
        may.then(|| self.rests_until[n as usize].since(self.now))
    }

    /// News of what is no longer, doubled news and early wake-ups change nothing (law L12).
    fn ignores_the_stale(&self) -> Result<(), String> {
        let gone = AttemptId::new(u64::MAX);
        let early = self.machine.next_wake().is_none_or(|at| at > self.now);
        let stale = [
            Input::Start,
            Input::Connected { attempt: gone },
            Input::Failed {
                attempt: gone,
                failure: REFUSED,
            },
            Input::Lost {
                attempt: gone,
                failure: RESET,
                verdict: Verdict::Suspend,
            },
            Input::Drain { attempt: gone },
        ];
        for input in stale.into_iter().chain(early.then_some(Input::Wake)) {
            let mut machine = self.machine.clone();
            let mut out = Outbox::default();
            machine.handle(input, &mut NoHooks, &mut out, self.now);
            if machine != self.machine || !out.as_slice().is_empty() {
                return Err(format!("L12: {input:?} changed something"));
            }
        }
        Ok(())
    }

    /// From here on every new dial is accepted at once; the old ones stay mute.
    fn heals(&self, healed: &mut u32) -> Result<(), String> {
        let mut world = self.clone();
        let old: Vec<AttemptId> = self.dials.iter().map(|dial| dial.attempt).collect();
        if self.paused {
            world.step(Step::Resume)?;
        }
        let rests = (0..self.endpoints).filter_map(|n| self.ready_in(n));
        let rest = rests.min().unwrap_or_default();
        let bound = self.machine.policy().recovery_bound(self.endpoints) + rest;
        for _ in 0..1000 {
            match world.machine.status() {
                Status::Connected { .. } => return Ok(()),
                Status::Closed(_) if self.may_end() => return Ok(()),
                Status::Starved => return Ok(()),
                _ => {}
            }
            let fresh = world.dials.iter().find(|dial| !old.contains(&dial.attempt));
            let step = fresh.map_or(Step::Wake, |dial| Step::Accept(dial.attempt));
            *healed += u32::from(step != Step::Wake);
            if step == Step::Wake {
                world.step(step)?;
            } else {
                world.accept_at_once()?;
            }
            let took = world.now.since(self.now);
            if took > bound {
                return Err(format!(
                    "L17: not connected after {took:?}, bound {bound:?}"
                ));
            }
        }
        Err("L17: it turns in circles".into())
    }

    fn accept_at_once(&mut self) -> Result<(), String> {
        let attempt = self.dials.last().unwrap().attempt;
        self.connect(attempt);
        let mut out = Outbox::default();
        let input = Input::Connected { attempt };
        self.machine.handle(input, &mut NoHooks, &mut out, self.now);
        let outputs: Vec<Output> = out.drain().collect();
        let count = outputs.len();
        for (n, output) in outputs.into_iter().enumerate() {
            self.note(output, n + 1 == count)?;
        }
        self.check(false)
    }

    /// Whether a limit, or what stands for one, may end it.
    fn may_end(&self) -> bool {
        let policy = self.machine.policy();
        policy.limits() != Limits::UNLIMITED
            || policy.start_up_limits() != Limits::UNLIMITED
            || policy.nobody_ready() == NobodyReady::Fail
            || matches!(self.machine.status(), Status::Closed(_))
            || !self.up && self.failed
    }

    fn active(&self) -> Option<AttemptId> {
        match self.machine.status() {
            Status::Connected { link, .. } => Some(link.attempt),
            _ => None,
        }
    }

    /// Everything that may matter from here on, with times counted from now and dials from the
    /// newest.
    fn key(&self) -> u128 {
        TEXT.with_borrow_mut(|text| {
            text.clear();
            write!(text, "{:?}", self.machine).unwrap();
            let newest = number_after(text, "last_attempt: ");
            let state = text.find(" pool: ").unwrap();
            let mut key = Key::new();
            let matters = Matters::of(self.machine.policy());
            let state = &text.as_bytes()[state..];
            key.relative(state, self.now.as_nanos(), newest, matters);
            for flag in [self.up, self.off, self.removed, self.paused, self.failed] {
                key.add(u64::from(flag));
            }
            let (of, route) = self.newest.unwrap_or((EndpointId::new(MOST), 0));
            let asked_for = self.asked_for.map_or(MOST, EndpointId::number);
            let Bounds { failures, controls } = self.left;
            key.add(u64::from_le_bytes([
                failures, controls, route, 0, 0, 0, 0, 0,
            ]));
            key.add(u64::from(of.number()) << 32 | u64::from(asked_for));
            let asked = |dial: &DialOrder| Some(dial.attempt) == self.asked_dial;
            let asked_dial = self.dials.iter().position(asked);
            key.add(asked_dial.map_or(u64::MAX, |at| u64::try_from(at).unwrap()));
            for at in self.last_dial {
                let recent = at.is_some_and(|at| self.now.since(at) < MIN_REDIAL);
                key.add(u64::from(recent));
            }
            for until in self.rests_until {
                let rest = until.since(self.now).as_nanos();
                key.add(u64::try_from(rest).unwrap());
            }
            key.done()
        })
    }
}

thread_local! {
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

fn number_after(text: &str, label: &str) -> u64 {
    let (_, rest) = text.split_once(label).unwrap();
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    digits.unwrap().parse().unwrap()
}

/// Which counters may decide anything under a policy; the others are left out of the key.
#[derive(Clone, Copy)]
struct Matters {
    turns: bool,
    sweeps: bool,
    elapsed: bool,
    per_endpoint: bool,
    failures: bool,
}

impl Matters {
    fn of(policy: &Policy) -> Self {
        let both = [policy.limits(), policy.start_up_limits()];
        let limited = |of: fn(&Limits) -> Limit| both.iter().any(|it| of(it) != Limit::Unlimited);
        let per_endpoint = limited(|limits| limits.per_endpoint);
        Self {
            turns: limited(|limits| limits.turns),
            sweeps: limited(|limits| limits.sweeps),
            elapsed: both.iter().any(|limits| limits.elapsed.is_some()),
            per_endpoint,
            failures: per_endpoint || policy.order().walk == Walk::LeastFailed,
        }
    }

    /// Up to what the number behind this name is told apart.
    fn most(self, before: &[u8]) -> u64 {
        let bounded = |name: &str| before.ends_with(name.as_bytes());
        let matters = match () {
            () if bounded("last_attempt: ") => false,
            // How many dials there were: none, or some.
            () if bounded("dials: ") => return 1,
            () if bounded(" outage: ") || bounded(" number: ") => self.per_endpoint,
            () if bounded("failed_turns: ") => self.turns,
            () if bounded("sweeps: ") => self.sweeps,
            () if bounded(" failures: ") => self.failures,
            () => true,
        };
        if matters { u64::MAX } else { 0 }
    }

    /// How far back a time is told apart. What is over is over, but for beginnings.
    fn since(self, before: &[u8]) -> u64 {
        if before.ends_with(b"Outage { since: ") {
            return if self.elapsed { LONGEST } else { 0 };
        }
        let stable = u64::try_from(STABLE.as_nanos()).unwrap();
        if before.ends_with(b"since: ") {
            stable
        } else {
            0
        }
    }
}

/// A hash of 128 bits: two worlds that differ share it never, for all that matters here.
struct Key(u64, u64);

impl Key {
    const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f)
    }

    fn add(&mut self, word: u64) {
        let Self(one, two) = self;
        *one = (*one ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        *one ^= *one >> 32;
        *two = (two.rotate_left(23) ^ word).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        *two ^= *two >> 29;
    }

    fn done(&self) -> u128 {
        u128::from(self.0) << 64 | u128::from(self.1)
    }

    /// Adds a text with every time counted from `now`, and every dial's number from the newest.
    fn relative(&mut self, text: &[u8], now: u64, newest: u64, matters: Matters) {
        let mut at = 0;
        let mut plain = 0;
        while at < text.len() {
            if !text[at].is_ascii_digit() {
                plain = plain << 8 | u64::from(text[at]);
                at += 1;
                if at % 8 == 0 {
                    self.add(std::mem::take(&mut plain));
                }
                continue;
            }
            self.add(std::mem::take(&mut plain));
            let before = &text[..at];
            let (value, decimals, end) = number(text, at);
            at = end;
            let Some((scale, length)) = unit(&text[at..]) else {
                self.add(match before.ends_with(b"AttemptId(") {
                    true => newest - value,
                    false => value.min(matters.most(before)),
                });
                continue;
            };
            at += length;
            let nanos = value * 10_u64.pow(scale - decimals);
            let longest = matters.since(before);
            self.add((nanos + longest).saturating_sub(now));
        }
        self.add(plain);
    }
}

/// A number without its point, how many decimals it has, and where it ends.
fn number(text: &[u8], from: usize) -> (u64, u32, usize) {
    let (mut value, mut decimals, mut at) = (0, 0, from);
    let mut fraction = false;
    while let Some(byte) = text.get(at) {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + u64::from(byte - b'0');
                decimals += u32::from(fraction);
            }
            b'.' => fraction = true,
            _ => break,
        }
        at += 1;
    }
    (value, decimals, at)
}

/// The power of ten in nanoseconds of a unit of time, and how long its name is.
fn unit(text: &[u8]) -> Option<(u32, usize)> {
    let units: [(&[u8], u32); 4] = [(b"ns", 0), ("µs".as_bytes(), 3), (b"ms", 6), (b"s", 9)];
    let (name, scale) = units.into_iter().find(|(name, _)| text.starts_with(name))?;
    Some((scale, name.len()))
}
