//! What drivers that share something tell a machine: a dial is held and begins, an endpoint rests and
//! is back. All from outside, all deterministic.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::sync::Arc;
use std::time::Duration;

use failover_core::attempt::AttemptId;
use failover_core::endpoint::{EndpointId, Traits};
use failover_core::failure::{Failure, Kind};
use failover_core::machine::{Answer, Condition, Event, Input, Machine, Outbox, Output, Status};
use failover_core::policy::{
    Backoff, Jitter, NoHooks, Order, Pace, Policy, PolicyBuilder, Resume, Seed, Walk,
};
use failover_core::time::Time;

const SECOND: Duration = Duration::from_secs(1);
const A: EndpointId = EndpointId::new(0);
const B: EndpointId = EndpointId::new(1);

struct Play {
    machine: Machine,
    out: Outbox,
    now: Time,
    said: Vec<Output>,
}

impl Play {
    fn new(endpoints: u32, policy: PolicyBuilder) -> Self {
        let traits: Vec<Traits> = (0..endpoints)
            .map(|id| Traits::new(EndpointId::new(id)))
            .collect();
        let policy = Arc::new(policy.build().unwrap());
        let mut play = Self {
            machine: Machine::new(policy, &traits, Seed::new(1)),
            out: Outbox::default(),
            now: Time::ZERO,
            said: Vec::new(),
        };
        play.tell(Input::Start);
        play
    }

    fn tell(&mut self, input: Input) -> Answer {
        let answer = self
            .machine
            .handle(input, &mut NoHooks, &mut self.out, self.now);
        self.said.extend(self.out.drain());
        answer
    }

    /// Lets time pass, and wakes the machine whenever it is due.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.machine.next_wake().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.tell(Input::Wake);
        }
        self.now = end;
    }

    /// The dials ordered since the last call, and how long each may last.
    fn dials(&mut self) -> Vec<(AttemptId, EndpointId)> {
        let said = std::mem::take(&mut self.said);
        let dial = |output| match output {
            Output::Dial(order) => Some((order.attempt, order.endpoint)),
            _ => None,
        };
        said.into_iter().filter_map(dial).collect()
    }
}

fn policy() -> PolicyBuilder {
    Policy::builder()
        .order(Order::new(Walk::Listed))
        .pace(Pace::new(Backoff::Constant(SECOND)))
        .jitter(Jitter::None)
        .deadline(SECOND)
}

#[test]
fn a_held_dial_has_its_whole_deadline_from_when_it_begins() {
    let mut play = Play::new(2, policy());
    let (dial, _) = play.dials()[0];
    assert_eq!(play.tell(Input::Held { attempt: dial }), Answer::Taken);
    assert_eq!(play.tell(Input::Held { attempt: dial }), Answer::Stale);
    play.pass(100 * SECOND);
    assert_eq!(play.machine.status(), Status::Dialing { endpoint: A });
    assert_eq!(play.tell(Input::Begun { attempt: dial }), Answer::Taken);
    assert_eq!(play.tell(Input::Begun { attempt: dial }), Answer::Stale);
    let order = play.machine.order(dial).unwrap();
    assert_eq!(order.deadline, play.now + SECOND);
    play.pass(SECOND / 2);
    assert!(play.said.is_empty());
    play.pass(SECOND / 2);
    let timed_out = play.said.iter().find_map(|output| match output {
        Output::Event(Event::Attempt(ended)) => Some((ended.outcome, ended.took)),
        _ => None,
    });
    // The time in line is not the dial's.
    assert_eq!(timed_out, Some((Err(Failure::new(Kind::Timeout)), SECOND)));
    assert_eq!(play.dials()[0].1, B);
}

#[test]
fn words_about_dials_that_are_no_more_change_nothing() {
    let mut play = Play::new(1, policy());
    let (dial, _) = play.dials()[0];
    let before = play.machine.clone();
    assert_eq!(play.tell(Input::Begun { attempt: dial }), Answer::Stale);
    let unknown = AttemptId::new(77);
    assert_eq!(play.tell(Input::Held { attempt: unknown }), Answer::Stale);
    assert_eq!(play.tell(Input::Recovered { endpoint: A }), Answer::Stale);
    assert_eq!(play.tell(Input::Recovered { endpoint: B }), Answer::Stale);
    let (endpoint, until) = (A, play.now);
    assert_eq!(play.tell(Input::Rests { endpoint, until }), Answer::Stale);
    assert_eq!(play.machine, before);
}

#[test]
fn an_endpoint_that_others_found_bad_is_not_dialled_and_one_that_began_goes_on() {
    let mut play = Play::new(2, policy());
    let (dial, _) = play.dials()[0];
    let until = play.now + 10 * SECOND;
    play.tell(Input::Rests { endpoint: A, until });
    assert_eq!(play.machine.condition(A), Some((Condition::Marked, until)));
    // It is in flight: perhaps it succeeds.
    assert!(play.machine.order(dial).is_some());
    let failure = Failure::new(Kind::Refused);
    play.tell(Input::Failed {
        attempt: dial,
        failure,
    });
    for _ in 0..5 {
        let (dial, endpoint) = play.dials()[0];
        assert_eq!(endpoint, B);
        play.tell(Input::Failed {
            attempt: dial,
            failure,
        });
        play.pass(SECOND);
    }
    play.pass(10 * SECOND);
}

#[test]
fn a_held_dial_of_an_endpoint_that_rests_is_given_up_and_the_next_is_dialled() {
    let mut play = Play::new(2, policy());
    let (dial, _) = play.dials()[0];
    play.tell(Input::Held { attempt: dial });
    let until = play.now + 10 * SECOND;
    play.tell(Input::Rests { endpoint: A, until });
    assert!(play.said.contains(&Output::Cancel(dial)));
    assert_eq!(play.dials()[0].1, B);
}

#[test]
fn a_recovery_ends_the_wait_within_the_spread() {
    let mut play = Play::new(1, policy());
    let (dial, _) = play.dials()[0];
    play.tell(Input::Held { attempt: dial });
    let until = play.now + 1000 * SECOND;
    play.tell(Input::Rests { endpoint: A, until });
    assert!(matches!(play.machine.status(), Status::Waiting { .. }));
    play.pass(10 * SECOND);
    assert!(play.dials().is_empty());
    assert_eq!(play.tell(Input::Recovered { endpoint: A }), Answer::Taken);
    assert_eq!(play.machine.condition(A).unwrap().0, Condition::Active);
    play.pass(SECOND / 2);
    assert_eq!(play.dials().len(), 1);
}

#[test]
fn in_a_resume_window_the_lost_server_is_dialled_whatever_others_found() {
    let resume = Resume::new(30 * SECOND, 5 * SECOND);
    let mut play = Play::new(2, policy().resume(resume));
    let (dial, _) = play.dials()[0];
    play.tell(Input::Connected { attempt: dial });
    play.pass(60 * SECOND);
    play.tell(Input::Lost {
        attempt: dial,
        failure: Failure::new(Kind::Reset),
        verdict: failover_core::machine::Verdict::AsPolicy,
    });
    let (dial, endpoint) = play.dials()[0];
    assert_eq!(endpoint, A);
    play.tell(Input::Held { attempt: dial });
    let until = play.now + 10 * SECOND;
    play.tell(Input::Rests { endpoint: A, until });
    assert_eq!(play.machine.status(), Status::Dialing { endpoint: A });
    assert_eq!(play.tell(Input::Begun { attempt: dial }), Answer::Taken);
}
