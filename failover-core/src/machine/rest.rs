//! A machine between two inputs, in little room: a million of them stand side by side in a fleet.

use alloc::boxed::Box;

use crate::attempt::{AttemptId, Purpose, Role};
use crate::endpoint::Endpoints;
use crate::few::Few;
use crate::machine::attempts::Attempt;
use crate::machine::effort::Extras;
use crate::machine::outage::{Plan, SweepWait};
use crate::machine::{Machine, Outage, Stage, State, Verdict};
use crate::pool::{MaybeSlot, Slot, SlotIndex};
use crate::random::Random;
use crate::time::Time;

/// What a machine of a short list knows, apart from what all machines of a fleet share (the policy, the list),
/// from its slots, which stand elsewhere, and from the time, which the fleet knows.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    doing: Doing,
    rng: Random,
    extras: Option<Box<Extras>>,
    since: Time,
    wait: u64,
    last_attempt: u32,
    outage: u32,
    dials: u32,
    failed_turns: u32,
    sweeps: u32,
    place: u8,
    stage: Before,
    verdict: Verdict,
    sweep_wait: SweepWait,
    swept: bool,
    took_first: bool,
}

/// What it is doing, with what lives in that state alone.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Idle,
    Waiting {
        at: Time,
        slot: u8,
        route: u8,
    },
    Dialing {
        started: Time,
        deadline: Time,
        id: u32,
        number: u32,
        slot: u8,
        route: u8,
        role: Role,
        purpose: Purpose,
    },
    Connected {
        since: Time,
        id: u32,
        slot: u8,
        route: u8,
    },
    Paused,
    Starved,
}

/// Whether there ever was a connection, and the slot that matters since, if one does.
#[derive(Clone, Copy, Debug)]
enum Before {
    Start(Option<u8>),
    After(Option<u8>),
}

impl Rest {
    /// The connection that is in use.
    pub(crate) fn connection(&self) -> Option<AttemptId> {
        match self.doing {
            Doing::Connected { id, .. } => Some(AttemptId::new(id.into())),
            Doing::Idle
            | Doing::Waiting { .. }
            | Doing::Dialing { .. }
            | Doing::Paused
            | Doing::Starved => None,
        }
    }

    /// Reads a word of each part, and means nothing: what is read is in the cache afterwards.
    pub(crate) fn glance(&self) -> u64 {
        let doing = u64::from(matches!(self.doing, Doing::Dialing { .. }));
        self.wait ^ u64::from(self.sweeps) ^ doing
    }
}

impl Machine {
    /// What it knows, its slots put into these; nothing, and it keeps them, where that needs more room:
    /// with several dials in flight, beside a connection or a plan, with another list than this, an index
    /// over it or more dials than 32 bits number, and when it is over.
    pub(crate) fn rest(&mut self, shared: &Endpoints, slots: &mut [Slot]) -> Option<Rest> {
        let doing = self.doing()?;
        let last_attempt = u32::try_from(self.last_attempt).ok()?;
        let stage = match self.stage {
            Stage::StartUp { pinned } => Before::Start(short(pinned)?),
            Stage::After { lost } => Before::After(short(lost)?),
        };
        let (place, outage) = self.pool.rest(shared, slots)?;
        let Outage {
            since,
            wait,
            dials,
            failed_turns,
            sweeps,
            swept,
            verdict,
            sweep_wait,
            took_first,
        } = self.outage;
        Some(Rest {
            doing,
            rng: self.rng.clone(),
            extras: self.extras.take(),
            since,
            wait,
            last_attempt,
            outage,
            dials,
            failed_turns,
            sweeps,
            place,
            stage,
            verdict,
            sweep_wait,
            swept,
            took_first,
        })
    }

    /// Knows from now on what that one knew, whose policy and list it has, and nothing else. Its own slots
    /// are left in the place of those.
    pub(crate) fn rise(&mut self, rest: &mut Rest, slots: &mut [Slot], now: Time) {
        self.attempts = Few::None;
        self.state = match rest.doing {
            Doing::Idle => State::Idle,
            Doing::Waiting { at, slot, route } => State::Waiting(Plan {
                at,
                slot: slot.into(),
                route,
            }),
            Doing::Dialing {
                started,
                deadline,
                id,
                number,
                slot,
                route,
                role,
                purpose,
            } => {
                let slot: SlotIndex = slot.into();
                self.attempts = Few::One(Attempt {
                    id: AttemptId::new(id.into()),
                    started,
                    deadline,
                    slot,
                    endpoint: self.pool.id(slot),
                    number,
                    route,
                    role,
                    purpose,
                });
                State::Dialing
            }
            Doing::Connected {
                since,
                id,
                slot,
                route,
            } => State::Connected {
                attempt: AttemptId::new(id.into()),
                since,
                slot: slot.into(),
                route,
            },
            Doing::Paused => State::Paused,
            Doing::Starved => State::Starved,
        };
        self.stage = match rest.stage {
            Before::Start(pinned) => Stage::StartUp {
                pinned: long(pinned),
            },
            Before::After(lost) => Stage::After { lost: long(lost) },
        };
        self.pool.rise(rest.place, rest.outage, slots);
        self.rng = rest.rng.clone();
        self.extras = rest.extras.take();
        self.latest = now;
        self.last_attempt = rest.last_attempt.into();
        self.outage = Outage {
            since: rest.since,
            wait: rest.wait,
            dials: rest.dials,
            failed_turns: rest.failed_turns,
            sweeps: rest.sweeps,
            swept: rest.swept,
            verdict: rest.verdict,
            sweep_wait: rest.sweep_wait,
            took_first: rest.took_first,
        };
    }

    fn doing(&self) -> Option<Doing> {
        Some(match (&self.state, &self.attempts[..]) {
            (State::Idle, []) => Doing::Idle,
            (State::Paused, []) => Doing::Paused,
            (State::Starved, []) => Doing::Starved,
            (State::Waiting(plan), []) => Doing::Waiting {
                at: plan.at,
                slot: u8::try_from(plan.slot).ok()?,
                route: plan.route,
            },
            (State::Dialing, [dial]) => Doing::Dialing {
                started: dial.started,
                deadline: dial.deadline,
                id: u32::try_from(dial.id.number()).ok()?,
                number: dial.number,
                slot: u8::try_from(dial.slot).ok()?,
                route: dial.route,
                role: dial.role,
                purpose: dial.purpose,
            },
            (
                &State::Connected {
                    attempt,
                    since,
                    slot,
                    route,
                },
                [],
            ) => Doing::Connected {
                since,
                id: u32::try_from(attempt.number()).ok()?,
                slot: u8::try_from(slot).ok()?,
                route,
            },
            (
                State::Idle
                | State::Paused
                | State::Starved
                | State::Waiting(_)
                | State::Dialing
                | State::Connected { .. }
                | State::Closed(_),
                _,
            ) => return None,
        })
    }
}

/// A slot or none in 8 bits; nothing where it does not fit.
fn short(slot: MaybeSlot) -> Option<Option<u8>> {
    match slot.get() {
        None => Some(None),
        Some(slot) => u8::try_from(slot).ok().map(Some),
    }
}

fn long(slot: Option<u8>) -> MaybeSlot {
    slot.map_or(MaybeSlot::NONE, |slot| MaybeSlot::some(slot.into()))
}

#[cfg(all(test, feature = "proptest"))]
mod tests {
    use alloc::sync::Arc;
    use std::vec::Vec;

    use super::*;
    use crate::endpoint::{EndpointId, Security, Traits};
    use crate::failure::{Failure, Kind};
    use crate::machine::{Input, Outbox};
    use crate::policy::{NoHooks, Policy, Seed};
    use crate::testing::strategy;
    use proptest::prelude::*;

    proptest! {
        /// Whatever stood in the machine that takes over.
        #[test]
        fn a_machine_that_rested_is_the_same(case in strategy::any_case()) {
            let trace = case.storm();
            let (policy, list) = (&trace.policy, &trace.endpoints);
            let new = |seed| Machine::new(Arc::clone(policy), list.clone(), seed);
            let (mut machine, mut other) = (new(trace.seed), new(Seed::new(99)));
            let mut slots: Vec<Slot> = (0..list.len()).map(Slot::new).collect();
            let (mut out, mut others) = (Outbox::default(), Outbox::default());
            for step in trace.steps.iter().take(200) {
                machine.handle(step.input, &mut NoHooks, &mut out, step.at);
                out.drain();
                let before = machine.clone();
                match machine.rest(list, &mut slots) {
                    None => prop_assert_eq!(&machine, &before),
                    Some(mut rest) => {
                        let is_connected = matches!(before.state, State::Connected { .. });
                        prop_assert_eq!(rest.connection().is_some(), is_connected);
                        core::mem::swap(&mut machine, &mut other);
                        machine.rise(&mut rest, &mut slots, before.latest);
                        prop_assert_eq!(&machine, &before);
                    }
                }
                // The other one lives on, too, so that nothing of it is new; but it keeps the shared list.
                if !matches!(step.input, Input::Learned { .. } | Input::Change(_)) {
                    other.handle(step.input, &mut NoHooks, &mut others, step.at);
                    others.drain();
                }
            }
        }
    }

    #[test]
    fn whoever_does_one_thing_at_a_time_rests_and_only_with_the_shared_list() {
        let endpoint = |n| Traits::new(EndpointId::new(n)).route(Security::Plain);
        let [list, others] = [0, 1].map(|n| Endpoints::from(alloc::vec![endpoint(n)]));
        let policy = Arc::new(Policy::default());
        let mut machine = Machine::new(policy, list.clone(), Seed::new(1));
        let (mut out, mut slots) = (Outbox::default(), [Slot::new(0)]);
        let attempt = AttemptId::new(1);
        let lost = Input::Lost {
            attempt,
            failure: Failure::new(Kind::Reset),
            verdict: Verdict::AsPolicy,
        };
        for input in [
            Input::Start,
            Input::Connected { attempt },
            lost,
            Input::Pause,
        ] {
            machine.handle(input, &mut NoHooks, &mut out, Time::ZERO);
            out.drain();
            assert!(machine.rest(&others, &mut slots).is_none(), "{input:?}");
            let mut rest = machine.rest(&list, &mut slots).unwrap();
            machine.rise(&mut rest, &mut slots, Time::ZERO);
        }
    }

    #[test]
    fn it_takes_little_room() {
        assert!(size_of::<Rest>() <= 104, "{}", size_of::<Rest>());
    }
}
