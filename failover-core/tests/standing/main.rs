//! What the machine does beside a connection, and with a list that changes: moves, spares, failback,
//! races, the resume window, pauses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod control;
mod failback;
mod health;
mod lists;
mod moves;
mod races;
mod resume;
mod spares;

use std::sync::Arc;
use std::time::Duration;

use failover_core::attempt::AttemptId;
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind, Scope};
use failover_core::machine::{
    Answer, Change, CloseReason, Condition, Event, Input, Machine, Outbox, Output, Status, Verdict,
    Whither,
};
use failover_core::policy::{
    Backoff, Choice, ChoiceAsked, CustomDelay, DelayAnswer, DelayAsked, DelayHook, Every, Failback,
    Health, Hooks, Jitter, JudgeAsked, Limit, Limits, MaxAge, NoHooks, NobodyReady, On, Order,
    Overlap, Pace, Policy, PolicyBuilder, Ratio, Reaction, Reactions, Resume, Seed, Standing,
    Start, Walk,
};
use failover_core::race::{Lap, Race, Stagger, Trainer};
use failover_core::time::Time;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const REFUSED: Failure = Failure::new(Kind::Refused);
const RESET: Failure = Failure::new(Kind::Reset);

/// A machine on a stage: what goes in, and what came out, in words.
struct Play {
    machine: Machine,
    hooks: Box<dyn Hooks>,
    out: Outbox,
    said: Vec<String>,
    in_flight: Vec<(AttemptId, u32)>,
    connections: Vec<(AttemptId, u32)>,
    now: Time,
    since: Time,
}

impl Play {
    fn new(endpoints: u32, policy: PolicyBuilder) -> Self {
        Self::of((0..endpoints).map(traits).collect(), policy)
    }

    fn of(endpoints: Vec<Traits>, policy: PolicyBuilder) -> Self {
        let policy = Arc::new(policy.build().unwrap());
        Self {
            machine: Machine::new(policy, endpoints, Seed::new(1)),
            hooks: Box::new(NoHooks),
            out: Outbox::default(),
            said: Vec::new(),
            in_flight: Vec::new(),
            connections: Vec::new(),
            now: Time::ZERO,
            since: Time::ZERO,
        }
    }

    fn start(&mut self) {
        self.input(Input::Start);
    }

    /// Connects to this endpoint first and lets the connection prove stable.
    fn connect(&mut self, endpoint: &str) -> AttemptId {
        self.start();
        let connection = self.connected(endpoint);
        self.now = self.now + 20 * SECOND;
        self.since = self.now;
        self.take();
        connection
    }

    fn input(&mut self, input: Input) -> Answer {
        let answer = self
            .machine
            .handle(input, &mut *self.hooks, &mut self.out, self.now);
        let outputs: Vec<Output> = self.out.drain().collect();
        for output in outputs {
            self.note(output);
        }
        answer
    }

    fn change(&mut self, change: Change) -> Answer {
        self.input(Input::Change(change))
    }

    fn connected(&mut self, endpoint: &str) -> AttemptId {
        let dial = self.dial_of(endpoint);
        self.connections.push(dial);
        assert_eq!(
            self.input(Input::Connected { attempt: dial.0 }),
            Answer::Taken
        );
        dial.0
    }

    fn fail(&mut self, endpoint: &str, failure: Failure) {
        let (attempt, _) = self.dial_of(endpoint);
        assert_eq!(
            self.input(Input::Failed { attempt, failure }),
            Answer::Taken
        );
    }

    fn lose(&mut self, failure: Failure) {
        let Status::Connected { link, .. } = self.machine.status() else {
            panic!("not connected: {}", self.status());
        };
        let verdict = Verdict::AsPolicy;
        let attempt = link.attempt;
        self.input(Input::Lost {
            attempt,
            failure,
            verdict,
        });
    }

    fn dial_of(&mut self, endpoint: &str) -> (AttemptId, u32) {
        let at = self
            .in_flight
            .iter()
            .rposition(|(_, n)| n.to_string() == endpoint);
        self.in_flight
            .remove(at.unwrap_or_else(|| panic!("no dial of {endpoint} in flight")))
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Time passes, wake by wake, until the machine says something.
    fn until_something_happens(&mut self) {
        let before = self.said.len();
        while self.said.len() == before {
            self.now = self.machine.next_wake().expect("a wake-up is due");
            self.input(Input::Wake);
        }
    }

    fn wake(&self) -> Option<Time> {
        self.machine.next_wake()
    }

    /// Since the start, or since [`connect`](Self::connect).
    fn elapsed(&self) -> Duration {
        self.now.since(self.since)
    }

    fn condition(&self, endpoint: u32) -> Condition {
        self.machine.condition(EndpointId::new(endpoint)).unwrap().0
    }

    fn status(&self) -> String {
        match self.machine.status() {
            Status::Connected { link, .. } => format!("connected {}", link.endpoint.number()),
            Status::Dialing { endpoint } => format!("dialing {}", endpoint.number()),
            Status::Waiting { endpoint, .. } => format!("waiting for {}", endpoint.number()),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    fn take(&mut self) -> String {
        std::mem::take(&mut self.said).join("; ")
    }

    fn says(&mut self, expected: &str) {
        assert_eq!(self.take(), expected);
    }

    fn note(&mut self, output: Output) {
        let words = match output {
            Output::Dial(order) => {
                let endpoint = order.endpoint.number();
                self.in_flight.push((order.attempt, endpoint));
                format!("dial {endpoint}")
            }
            Output::Cancel(attempt) => {
                let at = self
                    .in_flight
                    .iter()
                    .position(|(id, _)| *id == attempt)
                    .unwrap();
                format!("cancel {}", self.in_flight.remove(at).1)
            }
            Output::HangUp { attempt, .. } => {
                let (_, endpoint) = self
                    .connections
                    .iter()
                    .find(|(id, _)| *id == attempt)
                    .unwrap();
                format!("hang up {endpoint}")
            }
            Output::Event(event) => words(&event),
            other => panic!("{other:?}"),
        };
        self.said.push(words);
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::Attempt(ended) => {
            let outcome = ended
                .outcome
                .map_or_else(|failure| failure.kind.as_str(), |()| "ok");
            format!("attempt {} {outcome}", ended.order.endpoint.number())
        }
        Event::Connected(link) => format!("connected {}", link.endpoint.number()),
        Event::Reconnected(link) => format!("reconnected {}", link.endpoint.number()),
        Event::FailedOver { to, .. } => format!("failed over to {}", to.endpoint.number()),
        Event::Disconnected { link, .. } => format!("disconnected {}", link.endpoint.number()),
        Event::SessionGone => "session gone".into(),
        Event::Switching { .. } => "switching".into(),
        Event::Moved { to, from, .. } => {
            format!("moved {} to {}", from.number(), to.endpoint.number())
        }
        Event::Draining { .. } => "draining".into(),
        Event::Suspended { endpoint, .. } => format!("suspended {}", endpoint.number()),
        Event::SpareReady(link) => format!("spare {}", link.endpoint.number()),
        Event::SpareLost { link, .. } => format!("spare lost {}", link.endpoint.number()),
        Event::Starved => "starved".into(),
        Event::Closed(_) => "closed".into(),
        other => panic!("{other:?}"),
    }
}

fn traits(n: u32) -> Traits {
    Traits::new(EndpointId::new(n)).route(Security::Plain)
}

/// Rotates from the top, waits a second before each sweep, without jitter.
fn policy() -> PolicyBuilder {
    Policy::builder()
        .order(Order::new(Walk::Rotate))
        .pace(Pace::new(Backoff::Constant(SECOND)))
        .jitter(Jitter::None)
}
