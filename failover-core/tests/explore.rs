//! Every history of a small world, breadth first: whatever happens next, in every state, the laws
//! hold; and from every state a world that heals is connected to within the policy's own bound.
//!
//! States are told apart by everything that the machine holds, with times counted from now and dials
//! from the newest, so that histories that lead to the same place are followed once.
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

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
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
const REFUSED: Failure = Failure::new(Kind::Refused);
const RESET: Failure = Failure::new(Kind::Reset);
const AUTH: Failure = Failure::new(Kind::Auth).scope(Scope::Endpoint);

#[test]
fn default_like() {
    explore("default-like", flat(3), policy());
}

#[test]
fn nats_like() {
    let limits = Limits::UNLIMITED.per_endpoint(Limit::AtMost(3));
    let policy = policy()
        .pace(Pace::new(Backoff::Constant(2 * SECOND)))
        .limits(limits)
        .start_up_limits(Limits::UNLIMITED.sweeps(Limit::AtMost(2)));
    explore("NATS-like", flat(3), policy);
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
    explore("ActiveMQ-like", flat(3), policy);
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
    explore("a wait per endpoint", flat(3), policy);
}

#[test]
fn a_wait_before_every_attempt() {
    let policy = policy()
        .order(Order::new(Walk::LeastFailed).lost(Lost::First))
        .pace(doubling().every(Every::Attempt));
    explore("a wait before every attempt", flat(4), policy);
}

#[test]
fn overlap_forbidden() {
    let standing = Standing::default()
        .overlap(Overlap::Forbidden)
        .drain_spread(Duration::ZERO);
    explore("overlap forbidden", flat(3), policy().standing(standing));
}

#[test]
fn a_race_of_two() {
    let race = Race::new(2, Stagger::Fixed(SECOND / 4)).unwrap();
    explore("a race of two", flat(3), policy().race(race));
}

#[test]
fn one_spare() {
    let standing = Standing::default().spares(1).drain_spread(Duration::ZERO);
    explore("one spare", flat(3), policy().standing(standing));
}

#[test]
fn a_resume_window() {
    let policy = policy().resume(Resume::new(3 * SECOND, SECOND));
    explore("a resume window", flat(2), policy);
}

#[test]
fn failback_to_a_lower_tier() {
    let failback = Failback::default()
        .every(2 * SECOND)
        .good_probes(1)
        .settle(Duration::ZERO);
    let standing = Standing::default()
        .failback(failback)
        .drain_spread(Duration::ZERO);
    let endpoints = vec![traits(0), traits(1).tier(1)];
    explore("failback", endpoints, policy().standing(standing));
}

#[test]
fn two_routes() {
    let server = |n| traits(n).route(Security::Plain);
    explore("two routes", vec![server(0), server(1)], policy());
}

#[test]
fn the_least_bad() {
    let policy = policy().nobody_ready(NobodyReady::LeastBad);
    explore("the least bad", flat(2), policy);
}

#[test]
fn nobody_ready_fails() {
    let policy = policy().nobody_ready(NobodyReady::Fail);
    explore("nobody ready fails", flat(2), policy);
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
        .standing(Standing::default().drain_spread(Duration::ZERO))
}

/// How much happens in one history.
const FAILURES: u8 = 5;
const CONTROLS: u8 = 2;
const DEPTH: u32 = 16;
/// For each policy; `EXPLORE_STATES` in the environment sets another number.
const STATES: usize = 20_000;

fn explore(name: &str, endpoints: Vec<Traits>, policy: PolicyBuilder) {
    let most = std::env::var("EXPLORE_STATES").map_or(STATES, |most| most.parse().unwrap());
    let began = std::time::Instant::now();
    let policy = Arc::new(policy.build().unwrap());
    let mut root = World::new(policy, endpoints);
    root.step(Step::Start).unwrap();
    let mut seen = BTreeSet::from([root.key()]);
    let mut frontier = VecDeque::from([(root, Trail(None), 0)]);
    let mut deepest = 0;
    let mut healed = 0;
    let mut cut = false;
    while let Some((world, trail, depth)) = frontier.pop_front() {
        deepest = deepest.max(depth);
        if let Err(broken) = world.heals(&mut healed) {
            panic!("{name}: {broken}\nafter {trail}\nin {:?}", world.machine);
        }
        if depth == DEPTH {
            continue;
        }
        for step in world.possible() {
            let mut next = world.clone();
            let trail = trail.then(step);
            if let Err(broken) = next.step(step) {
                panic!("{name}: {broken}\nafter {trail}\nin {:?}", world.machine);
            }
            if seen.len() >= most {
                cut = true;
            } else if seen.insert(next.key()) {
                frontier.push_back((next, trail, depth + 1));
            }
        }
    }
    let all = if cut { "the first" } else { "all" };
    println!(
        "{name}: {all} {} states to depth {deepest}, {healed} healings that had to dial, {:.1?}",
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
    Close,
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
    now: Time,
    dials: Vec<DialOrder>,
    connections: Vec<(AttemptId, EndpointId, Time)>,
    /// A connection was announced and not taken back.
    up: bool,
    off: bool,
    last_dial: [Option<Time>; 4],
    rests_until: [Time; 4],
    /// The newest dial: another route of the same server belongs to its turn.
    newest: Option<(EndpointId, u8)>,
    /// The user asked for this one, even if it rests.
    asked_for: Option<EndpointId>,
    failures: u8,
    controls: u8,
}

impl World {
    fn new(policy: Arc<Policy>, endpoints: Vec<Traits>) -> Self {
        Self {
            endpoints: u32::try_from(endpoints.len()).unwrap(),
            machine: Machine::new(policy, endpoints, Seed::new(1)),
            now: Time::ZERO + SECOND,
            dials: Vec::new(),
            connections: Vec::new(),
            up: false,
            off: false,
            last_dial: [None; 4],
            rests_until: [Time::ZERO; 4],
            newest: None,
            asked_for: None,
            failures: FAILURES,
            controls: CONTROLS,
        }
    }

    fn possible(&self) -> Vec<Step> {
        if let Status::Closed(_) = self.machine.status() {
            return vec![Step::Wake, Step::Close];
        }
        let mut steps = Vec::new();
        for dial in &self.dials {
            steps.push(Step::Accept(dial.attempt));
            if self.failures > 0 {
                steps.push(Step::Fail(dial.attempt, REFUSED));
                steps.push(Step::Fail(dial.attempt, AUTH));
            }
        }
        if self.failures > 0 {
            for (connection, ..) in &self.connections {
                steps.push(Step::Lose(*connection, TICK));
                steps.push(Step::Lose(*connection, STABLE));
            }
        }
        if self.machine.next_wake().is_some() {
            steps.push(Step::Wake);
        }
        if self.controls > 0 {
            steps.push(Step::Reconnect(Whither::Any));
            steps.push(Step::Reconnect(Whither::This(EndpointId::new(1))));
            steps.extend(self.active().map(Step::Drain));
            steps.push(if self.off { Step::On } else { Step::Off });
            steps.push(Step::Close);
        }
        steps
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
        let input = match step {
            Step::Start => Input::Start,
            Step::Accept(attempt) => {
                self.now = soon;
                self.connect(attempt);
                Input::Connected { attempt }
            }
            Step::Fail(attempt, failure) => {
                self.now = soon;
                self.failures -= 1;
                Input::Failed { attempt, failure }
            }
            Step::Lose(attempt, life) => {
                let at = self.connections.iter().position(|c| c.0 == attempt);
                let (_, _, since) = self.connections.remove(at.unwrap());
                self.now = self.now.max(since + life);
                self.failures -= 1;
                Input::Lost {
                    attempt,
                    failure: RESET,
                    verdict: Verdict::AsPolicy,
                }
            }
            Step::Wake => {
                self.now = self.machine.next_wake().unwrap_or(self.now).max(self.now);
                Input::Wake
            }
            Step::Reconnect(whither) => {
                self.controls -= 1;
                if let Whither::This(endpoint) = whither {
                    self.asked_for = Some(endpoint);
                }
                Input::Reconnect(whither)
            }
            Step::Drain(attempt) => {
                self.controls -= 1;
                Input::Drain { attempt }
            }
            Step::Off | Step::On => {
                self.controls -= 1;
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
            Step::Close => {
                self.controls = self.controls.saturating_sub(1);
                Input::Close
            }
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
                if self.off && n == 0 {
                    return Err("L9: an endpoint that is off is dialled".into());
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
            Status::Starved => self.off && self.endpoints == 1 || self.retired(),
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

    /// Whether the policy retires endpoints: then the last one that is left may be off.
    fn retired(&self) -> bool {
        self.machine.policy().limits().per_endpoint != Limit::Unlimited
    }

    /// From here on every new dial is accepted at once; the old ones stay mute.
    fn heals(&self, healed: &mut u32) -> Result<(), String> {
        let mut world = self.clone();
        let old: Vec<AttemptId> = self.dials.iter().map(|dial| dial.attempt).collect();
        let rest = self.rests_until[..self.endpoints as usize]
            .iter()
            .map(|until| until.since(self.now))
            .max()
            .unwrap();
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
            || !self.up && self.failures < FAILURES
    }

    fn active(&self) -> Option<AttemptId> {
        match self.machine.status() {
            Status::Connected { link, .. } => Some(link.attempt),
            _ => None,
        }
    }

    /// Everything that may matter from here on, with times and dials counted from now.
    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let whole = format!("{:?}", self.machine);
        let state = whole.split_once(" pool: ").unwrap().1;
        relative(state, self.now).hash(&mut hasher);
        (
            self.up,
            self.off,
            self.asked_for,
            self.failures,
            self.controls,
        )
            .hash(&mut hasher);
        self.newest.hash(&mut hasher);
        for at in self.last_dial {
            at.is_some_and(|at| self.now.since(at) < MIN_REDIAL)
                .hash(&mut hasher);
        }
        for until in self.rests_until {
            until.since(self.now).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// The text with every time counted from `now`, and every dial's number from the newest.
fn relative(state: &str, now: Time) -> String {
    let newest: u64 = state
        .split_once("last_attempt: ")
        .map(|(_, rest)| rest.split(',').next().unwrap().parse().unwrap())
        .unwrap();
    let mut text = String::with_capacity(state.len());
    let mut rest = state;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        text.push_str(before);
        let end = from
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(from.len());
        let (number, after) = from.split_at(end);
        let unit = ["ns", "µs", "ms", "s"]
            .into_iter()
            .find(|unit| after.starts_with(unit));
        match unit {
            Some(unit) => {
                let scale = match unit {
                    "ns" => 1.0,
                    "µs" => 1e3,
                    "ms" => 1e6,
                    _ => 1e9,
                };
                let value: f64 = number.parse().unwrap();
                // Times stay far below 2^53 ns here.
                let nanos = (value * scale).round() as i64;
                let from_now = nanos - now.as_nanos() as i64;
                // What is over is over, but for the beginnings of connections and outages.
                let told = match before.ends_with("since: ") {
                    true => from_now.max(-60_000_000_000),
                    false => from_now.max(0),
                };
                write!(text, "{told}").unwrap();
                rest = &after[unit.len()..];
            }
            None if before.ends_with("AttemptId(") => {
                write!(text, "-{}", newest - number.parse::<u64>().unwrap()).unwrap();
                rest = after;
            }
            None if before.ends_with("last_attempt: ") => rest = after,
            None => {
                text.push_str(number);
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}
