//! What the machine does from a loss to the next connection: scenarios of the systems that its
//! policy takes in, and the bugs that the laws found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod delay_hook;
mod forced_reconnects;
mod limits;
mod losses;
mod moves;
mod rests;
mod routes;
mod starvation;
mod sweeps;
mod the_floor;
mod the_resume_window;
mod the_start;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use failover_core::attempt::{AttemptId, Purpose};
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind, Scope};
use failover_core::machine::{
    Answer, Change, CloseReason, Event, Input, Machine, Outbox, Output, Status, Verdict, Whither,
};
use failover_core::policy::{
    Backoff, CustomDelay, DelayAnswer, DelayHook, Every, Health, Hooks, Jitter, Limit, Limits,
    Lost, NoHooks, NobodyReady, On, Order, Overlap, Pace, PlainFallback, Policy, PolicyBuilder,
    Ratio, Reaction, Reactions, Resume, Seed, Shuffle, Standing, Start, Walk,
};
use failover_core::race::{Race, Stagger};
use failover_core::time::Time;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const REFUSED: Failure = Failure::new(Kind::Refused);
const RESET: Failure = Failure::new(Kind::Reset);
const AUTH: Failure = Failure::new(Kind::Auth).scope(Scope::Endpoint);

/// A machine on a stage: who is dialled, and when.
struct Stage {
    machine: Machine,
    hooks: Box<dyn Hooks>,
    out: Outbox,
    now: Time,
    since: Time,
    in_flight: BTreeMap<AttemptId, (u32, u8)>,
    dialled: Vec<String>,
    purposes: Vec<(u32, Purpose)>,
    events: Vec<Event>,
}

impl Stage {
    fn new(endpoints: u32, policy: PolicyBuilder) -> Self {
        Self::of((0..endpoints).map(traits).collect(), policy)
    }

    fn of(endpoints: Vec<Traits>, policy: PolicyBuilder) -> Self {
        let policy = Arc::new(policy.build().unwrap());
        Self {
            machine: Machine::new(policy, endpoints, Seed::new(1)),
            hooks: Box::new(NoHooks),
            out: Outbox::default(),
            now: Time::ZERO,
            since: Time::ZERO,
            in_flight: BTreeMap::new(),
            dialled: Vec::new(),
            purposes: Vec::new(),
            events: Vec::new(),
        }
    }

    fn start(&mut self) {
        self.input(Input::Start);
    }

    /// Connects to this endpoint first, and lets the connection prove stable.
    fn connect(&mut self, endpoint: u32) {
        self.start();
        self.accept(endpoint);
        self.pass(20 * SECOND);
        self.since = self.now;
        self.dialled.clear();
        self.events.clear();
    }

    fn input(&mut self, input: Input) -> Answer {
        let answer = self
            .machine
            .handle(input, &mut *self.hooks, &mut self.out, self.now);
        for output in self.out.drain() {
            match output {
                Output::Dial(order) => {
                    let (id, route) = (order.endpoint.number(), order.route);
                    let at = self.now.since(self.since).as_millis();
                    let mut words = id.to_string();
                    if route > 0 {
                        words += &format!("/{route}");
                    }
                    if at > 0 {
                        words += &format!("@{at}");
                    }
                    self.dialled.push(words);
                    self.purposes.push((id, order.purpose));
                    self.in_flight.insert(order.attempt, (id, route));
                }
                Output::Cancel(attempt) => drop(self.in_flight.remove(&attempt)),
                Output::Event(event) => self.events.push(event),
                _ => {}
            }
        }
        answer
    }

    fn accept(&mut self, endpoint: u32) {
        let attempt = self.take(endpoint);
        assert_eq!(self.input(Input::Connected { attempt }), Answer::Taken);
    }

    fn fail(&mut self, endpoint: u32, failure: Failure) {
        let attempt = self.take(endpoint);
        assert_eq!(
            self.input(Input::Failed { attempt, failure }),
            Answer::Taken
        );
    }

    fn lose(&mut self, failure: Failure) {
        self.lose_with(failure, Verdict::AsPolicy);
    }

    fn lose_with(&mut self, failure: Failure, verdict: Verdict) {
        let Status::Connected { link, .. } = self.machine.status() else {
            panic!("not connected: {:?}", self.machine.status());
        };
        let attempt = link.attempt;
        let lost = Input::Lost {
            attempt,
            failure,
            verdict,
        };
        assert_eq!(self.input(lost), Answer::Taken);
    }

    fn take(&mut self, endpoint: u32) -> AttemptId {
        let found = self.in_flight.iter().find(|(_, (id, _))| *id == endpoint);
        let attempt = *found.unwrap_or_else(|| panic!("no dial of {endpoint}")).0;
        self.in_flight.remove(&attempt);
        attempt
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Time passes until the next dial, or until nothing more is due.
    fn until_a_dial(&mut self) {
        while self.in_flight.is_empty()
            && let Some(wake) = self.machine.next_wake()
        {
            self.now = self.now.max(wake);
            self.input(Input::Wake);
        }
    }

    /// Time passes until this endpoint is dialled.
    fn until_next(&mut self, endpoint: u32) {
        while !self.in_flight.values().any(|(id, _)| *id == endpoint) {
            self.now = self.machine.next_wake().expect("a wake-up is due");
            self.input(Input::Wake);
        }
    }

    /// Every dial fails at once, until there were so many, or it closed.
    fn refuse(&mut self, dials: usize) -> String {
        self.refuse_with(dials, REFUSED)
    }

    fn refuse_with(&mut self, dials: usize, failure: Failure) -> String {
        self.until_a_dial();
        while self.dialled.len() < dials
            && let Some((attempt, _)) = self.in_flight.pop_first()
        {
            self.input(Input::Failed { attempt, failure });
            self.until_a_dial();
        }
        self.dials()
    }

    /// Whom it dialled, over which route but the first, and after how many milliseconds.
    fn dials(&mut self) -> String {
        std::mem::take(&mut self.dialled).join(" ")
    }

    fn closed(&self) -> Option<CloseReason> {
        match self.machine.status() {
            Status::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    fn starved(&self) -> usize {
        let starved = |event: &&Event| matches!(event, Event::Starved);
        self.events.iter().filter(starved).count()
    }
}

fn traits(n: u32) -> Traits {
    Traits::new(EndpointId::new(n)).route(Security::Plain)
}

fn change(id: u32, change: fn(EndpointId) -> Change) -> Input {
    Input::Change(change(EndpointId::new(id)))
}

/// Rotates from the top, waits a second before each sweep, without jitter.
fn policy() -> PolicyBuilder {
    Policy::builder()
        .order(Order::new(Walk::Rotate))
        .pace(Pace::new(Backoff::Constant(SECOND)))
        .jitter(Jitter::None)
        .tls_jitter(Jitter::None)
}
