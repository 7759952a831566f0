//! Each preset against a small naive re-reading of its system's documented rules: who is dialled
//! next and after which wait, over long scripts of failures with successes in between.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod activemq;
mod diffusion;
mod nats;
mod ours;
mod stompit;
mod synapse;

use std::time::Duration;

use failover_core::attempt::AttemptId;
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind, Scope};
use failover_core::heartbeat::Heartbeat;
use failover_core::link::{Late, LinkPolicy, Outbox, Replay, Reply};
use failover_core::machine::{
    Change, CloseReason, Event, Input, Machine, Outbox as Work, Output, Status, Verdict,
};
use failover_core::policy::{CustomDelay, NoHooks, Policy, Ratio, Reaction, Seed};
use failover_core::preset::{
    ActiveMq, DiffusionFailover, DiffusionReconnect, Nats, Preset, PresetName, Stompit, Synapse,
    SynapseCode, SynapseGroup,
};
use failover_core::testing::{Case, laws};
use failover_core::time::Time;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const REFUSED: Failure = Failure::new(Kind::Refused);
const RESET: Failure = Failure::new(Kind::Reset);

#[test]
fn every_preset_is_found_by_its_name() {
    for name in PresetName::ALL {
        assert_eq!(name.to_string().parse(), Ok(name));
        let preset = name.preset().unwrap();
        assert_eq!(
            preset.policy.to_builder().build().unwrap(),
            preset.policy,
            "{name}"
        );
    }
    assert!("kafka".parse::<PresetName>().is_err());
}

#[test]
fn no_law_breaks_under_any_preset() {
    let mut dice = 1_u64;
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..400)
            .map(|_| {
                dice = dice
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (dice >> 56) as u8
            })
            .collect();
        let case = Case::from_bytes(&bytes);
        for name in PresetName::ALL {
            let policy = name.preset().unwrap().policy.into();
            let trace = Case {
                policy,
                ..case.clone()
            }
            .storm();
            for (_, law) in laws::ALL {
                law(&trace).unwrap_or_else(|broken| panic!("{name}: {broken}"));
            }
        }
    }
}

#[test]
fn an_endpoint_removed_while_it_waits_is_not_dialled_again() {
    for name in PresetName::ALL {
        let mut rig = Rig::new(3, &name.preset().unwrap().policy);
        rig.start();
        rig.accept();
        rig.lose(RESET);
        if rig.closed().is_some() {
            continue;
        }
        rig.input(Input::Change(Change::Remove(EndpointId::new(1))));
        rig.until_a_dial();
        for _ in 0..30 {
            if rig.dial.is_none() {
                break;
            }
            assert_ne!(rig.dial.unwrap().1, 1, "{name}");
            rig.fail(REFUSED);
        }
    }
}

/// Who is dialled next, after how many milliseconds since what went before.
type Step = (usize, u64);

/// A system's documented rules.
trait System {
    fn first(&mut self) -> Option<Step>;
    /// The dial under way failed.
    fn failed(&mut self) -> Option<Step>;
    /// The dial under way was answered, and the connection was lost later.
    fn lost(&mut self) -> Option<Step>;
}

/// Forty failures with successes at several places in between.
fn compare<S: System>(preset: &Preset, servers: usize, model: impl Fn() -> S, what: &str) {
    for script in [0u64, 1 << 3 | 1 << 20, 1 | 1 << 1 | 1 << 9, 0x8421_0842] {
        let mut model = model();
        let mut rig = Rig::new(servers, &preset.policy);
        assert_eq!(rig.start(), model.first(), "{what}");
        for step in 0..40 {
            let (found, expected) = match script >> step & 1 {
                0 => (rig.fail(REFUSED), model.failed()),
                _ => {
                    rig.accept();
                    (rig.lose(RESET), model.lost())
                }
            };
            assert_eq!(
                found, expected,
                "{servers} servers, step {step} of {script:x}, {what}"
            );
            if found.is_none() {
                assert!(rig.closed().is_some(), "{what}");
                break;
            }
        }
    }
}

/// One machine, whose dials are answered by the test.
struct Rig {
    machine: Machine,
    work: Work,
    now: Time,
    /// When the last dial or connection ended.
    ended: Time,
    dial: Option<(AttemptId, usize)>,
    events: Vec<Event>,
    /// How long a dial takes.
    took: Duration,
    /// How long a connection lives.
    lived: Duration,
}

impl Rig {
    fn new(servers: usize, policy: &Policy) -> Self {
        Self::seeded(servers, policy, 1)
    }

    fn seeded(servers: usize, policy: &Policy, seed: u64) -> Self {
        let traits: Vec<Traits> = (0..servers)
            .map(|n| {
                let id = EndpointId::new(u32::try_from(n).unwrap());
                Traits::new(id).route(Security::Plain)
            })
            .collect();
        Self {
            machine: Machine::new(policy.clone().into(), traits, Seed::new(seed)),
            work: Work::default(),
            now: Time::ZERO,
            ended: Time::ZERO,
            dial: None,
            events: vec![],
            took: 7 * MS,
            lived: SECOND,
        }
    }

    fn start(&mut self) -> Option<Step> {
        self.input(Input::Start);
        self.until_a_dial()
    }

    fn fail(&mut self, failure: Failure) -> Option<Step> {
        let attempt = self.dial.take().unwrap().0;
        self.now = self.now + self.took;
        self.ended = self.now;
        self.input(Input::Failed { attempt, failure });
        self.until_a_dial()
    }

    /// Fails with one failure at this server, with another elsewhere, until a dial of another.
    fn fail_at(&mut self, server: usize, there: Failure, elsewhere: Failure) -> Option<Step> {
        match self.dial.unwrap().1 == server {
            true => self.fail(there),
            false => self.fail(elsewhere),
        }
    }

    fn accept(&mut self) -> usize {
        let (attempt, server) = self.dial.take().unwrap();
        self.now = self.now + self.took;
        self.input(Input::Connected { attempt });
        server
    }

    fn lose(&mut self, failure: Failure) -> Option<Step> {
        let Status::Connected { link, .. } = self.machine.status() else {
            panic!("not connected");
        };
        self.now = self.now + self.lived;
        self.ended = self.now;
        self.input(Input::Lost {
            attempt: link.attempt,
            failure,
            verdict: Verdict::AsPolicy,
        });
        self.until_a_dial()
    }

    fn input(&mut self, input: Input) {
        self.machine
            .handle(input, &mut NoHooks, &mut self.work, self.now);
        for output in self.work.drain() {
            match output {
                Output::Dial(order) => {
                    let server = usize::try_from(order.endpoint.number()).unwrap();
                    self.dial = Some((order.attempt, server));
                }
                Output::Cancel(attempt) => {
                    self.dial = self.dial.filter(|(dial, _)| *dial != attempt);
                }
                Output::Event(event) => self.events.push(event),
                _ => {}
            }
        }
    }

    fn until_a_dial(&mut self) -> Option<Step> {
        while self.dial.is_none()
            && let Some(wake) = self.machine.next_wake()
        {
            self.now = self.now.max(wake);
            self.input(Input::Wake);
        }
        let waited = millis(self.now.since(self.ended));
        self.dial.map(|(_, server)| (server, waited))
    }

    fn closed(&self) -> Option<CloseReason> {
        match self.machine.status() {
            Status::Closed(reason) => Some(reason),
            _ => None,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_micros() + 500).unwrap() / 1_000
}
