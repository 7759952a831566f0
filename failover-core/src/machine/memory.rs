//! All that a machine knows, in a form that can be written and read: a checkpoint.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::few::Few;
use crate::machine::attempts::Attempt;
use crate::machine::effort::Extras;
use crate::machine::{Machine, Outage, Stage, State};
use crate::policy::Policy;
use crate::pool::{Pool, PoolMemory};
use crate::random::Random;
use crate::time::Time;

/// All that a machine knows, apart from its policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Memory {
    pool: PoolMemory,
    rng: Random,
    latest: Time,
    last_attempt: u64,
    attempts: Vec<Attempt>,
    state: State,
    stage: Stage,
    outage: Outage,
    extras: Option<Extras>,
}

/// No machine under this policy knows this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the checkpoint contradicts itself or the policy: was it edited?")]
pub(crate) struct MemoryError;

impl Machine {
    /// What it knows; nothing where its list is so long that it has an index.
    pub(crate) fn memory(&self) -> Option<Memory> {
        Some(Memory {
            pool: self.pool.memory()?,
            rng: self.rng.clone(),
            latest: self.latest,
            last_attempt: self.last_attempt,
            attempts: self.attempts.to_vec(),
            state: self.state.clone(),
            stage: self.stage,
            outage: self.outage.clone(),
            extras: self.extras.as_deref().cloned(),
        })
    }

    /// The machine that knew this. What was read from a text may be anything: it is checked as far as
    /// the machine relies on it.
    pub(crate) fn remembering(policy: Arc<Policy>, memory: Memory) -> Result<Self, MemoryError> {
        let walk = policy.order().walk;
        let pool = Pool::remembering(memory.pool, walk).ok_or(MemoryError)?;
        let mut attempts = Few::None;
        memory
            .attempts
            .into_iter()
            .for_each(|dial| attempts.push(dial));
        let mut machine = Self {
            policy,
            pool,
            rng: memory.rng,
            latest: memory.latest,
            last_attempt: memory.last_attempt,
            attempts,
            state: memory.state,
            stage: memory.stage,
            outage: memory.outage,
            extras: memory.extras.map(alloc::boxed::Box::new),
        };
        match machine.is_sound() {
            true => Ok(machine),
            false => Err(MemoryError),
        }
    }

    /// Whether every slot that it speaks of is there, and every dial was made.
    fn is_sound(&mut self) -> bool {
        let (slots, last) = (self.pool.len(), self.last_attempt);
        let mut has_all = true;
        self.each_slot(&mut |slot| has_all &= *slot < slots);
        let connected = self.state.live().map(|live| live.attempt);
        let mut dials = self.attempts.iter().map(|dial| dial.id).chain(connected);
        // A number that is never used twice needs room above, and so does a time: its end means never.
        last < u64::MAX / 2
            && self.latest < Time::FAR
            && has_all
            && dials.all(|dial| dial.number() <= last)
            && self
                .extras
                .as_ref()
                .is_none_or(|extras| extras.is_sound(last))
    }
}

/// One place of the text is edited at a time.
#[cfg(test)]
mod edited {
    use serde_json::{Value, json};

    use super::*;
    use crate::attempt::AttemptId;
    use crate::endpoint::{EndpointId, Security, Traits};
    use crate::machine::{Input, Outbox};
    use crate::policy::{NoHooks, Seed, Standing};

    const LAST_SLOT: u64 = 1;
    const LAST_DIAL: u64 = 2;

    #[test]
    fn a_slot_that_the_list_does_not_have_is_refused_wherever_it_is_named() {
        let plan = |slot| json!({"at": 0, "slot": slot, "route": 0});
        check("/attempts/0/slot", LAST_SLOT, |slot| json!(slot));
        check("/state/connected/slot", LAST_SLOT, |slot| json!(slot));
        check("/state", LAST_SLOT, |slot| json!({"waiting": plan(slot)}));
        check("/stage/after/lost", LAST_SLOT, |slot| json!(slot));
        check(
            "/stage",
            LAST_SLOT,
            |slot| json!({"start-up": {"pinned": slot}}),
        );
        check(
            "/extras/good",
            LAST_SLOT,
            |slot| json!({"slot": slot, "probes": 1, "since": 0}),
        );
        check("/extras/efforts", LAST_SLOT, |slot| {
            let goal = json!({"move": {"why": "forced", "wanted": slot}});
            json!([{"goal": goal, "at": 0, "wait": 0, "dials": 0, "in_flight": null}])
        });
        check("/extras/spares", LAST_SLOT, |slot| {
            json!([live(1, 0), live(1, slot)])
        });
        check("/extras/routes", LAST_SLOT, |slot| {
            json!([plan(0), plan(slot)])
        });
        check("/extras/turns", LAST_SLOT, |slot| {
            json!([[0, 0], [slot, 0]])
        });
        check("/extras/ended_spares", LAST_SLOT, |slot| {
            json!([[0, 0], [slot, 0]])
        });
    }

    #[test]
    fn a_dial_that_was_never_made_is_refused_wherever_it_is_named() {
        check("/attempts/0/id", LAST_DIAL, |dial| json!(dial));
        check("/state/connected/attempt", LAST_DIAL, |dial| json!(dial));
        check("/extras/spares", LAST_DIAL, |dial| {
            json!([live(1, 0), live(dial, 0)])
        });
        check("/extras/efforts/0/in_flight", LAST_DIAL, |dial| json!(dial));
        check("/extras/held", LAST_DIAL, |dial| json!([[1, 0], [dial, 0]]));
    }

    #[test]
    fn a_number_and_a_time_that_leave_no_room_above_are_refused() {
        let most = u64::MAX / 2 - 1;
        check("/last_attempt", most, |number| json!(number));
        check("/latest", most, |time| json!(time));
    }

    #[test]
    fn a_patience_that_no_race_teaches_is_refused() {
        let (least, most) = (1_u64 << 16, 4 << 16);
        check("/extras/trainer/patience", most, |patience| json!(patience));
        assert!(reads("/extras/trainer/patience", json!(least)));
        assert!(!reads("/extras/trainer/patience", json!(least - 1)));
    }

    /// The text is accepted with this number in this place, and refused with the next one.
    fn check(place: &str, most: u64, with: impl Fn(u64) -> Value) {
        assert!(reads(place, with(most)), "{place}: {most}");
        assert!(!reads(place, with(most + 1)), "{place}: {most} + 1");
    }

    /// Whether a machine of two endpoints, with a connection and the dial of a spare, is read again
    /// with this in this place.
    fn reads(place: &str, value: Value) -> bool {
        let standing = Standing::default().spares(1);
        let policy = Arc::new(Policy::builder().standing(standing).build().unwrap());
        let list: Vec<Traits> = [0, 1]
            .map(|n| Traits::new(EndpointId::new(n)).route(Security::Plain))
            .into();
        let mut machine = Machine::new(Arc::clone(&policy), list, Seed::new(1));
        let attempt = AttemptId::new(1);
        for input in [Input::Start, Input::Connected { attempt }] {
            machine.handle(input, &mut NoHooks, &mut Outbox::default(), Time::ZERO);
        }
        let mut text = serde_json::to_value(machine.memory().unwrap()).unwrap();
        *text.pointer_mut(place).unwrap() = value;
        let memory: Memory = serde_json::from_value(text).unwrap();
        Machine::remembering(policy, memory).is_ok()
    }

    fn live(dial: u64, slot: u64) -> Value {
        json!({"attempt": dial, "since": 0, "slot": slot, "route": 0})
    }
}

#[cfg(all(test, feature = "proptest"))]
mod tests {
    use super::*;
    use crate::policy::NoHooks;
    use crate::testing::{Case, strategy};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_machine_that_was_written_and_read_is_the_same(case in strategy::any_case()) {
            let trace = case.storm();
            let mut machine = Machine::new(
                Arc::clone(&trace.policy),
                trace.endpoints.clone(),
                trace.seed,
            );
            let mut out = crate::machine::Outbox::default();
            for step in trace.steps.iter().take(200) {
                machine.handle(step.input, &mut NoHooks, &mut out, step.at);
                out.drain();
                let text = serde_json::to_string(&machine.memory().unwrap()).unwrap();
                let memory: Memory = serde_json::from_str(&text).unwrap();
                let again = Machine::remembering(Arc::clone(&trace.policy), memory);
                prop_assert_eq!(again.as_ref(), Ok(&machine), "{}", text);
            }
        }

        /// Numbers of the text are replaced at random: it is refused, or the machine lives with it.
        #[test]
        fn a_machine_made_of_an_edited_text_lives_or_is_refused(
            case in strategy::any_case(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), number()), 1..4),
            from in 0..100_usize,
        ) {
            let trace = Case::storm(&case);
            let mut machine = Machine::new(
                Arc::clone(&trace.policy),
                trace.endpoints.clone(),
                trace.seed,
            );
            let mut out = crate::machine::Outbox::default();
            for step in trace.steps.iter().take(from) {
                machine.handle(step.input, &mut NoHooks, &mut out, step.at);
                out.drain();
            }
            let mut value = serde_json::to_value(machine.memory().unwrap()).unwrap();
            for (at, number) in edits {
                edit(&mut value, &at, number);
            }
            let Ok(memory) = serde_json::from_value::<Memory>(value) else {
                return Ok(());
            };
            let Ok(mut machine) = Machine::remembering(Arc::clone(&trace.policy), memory) else {
                return Ok(());
            };
            for step in trace.steps.iter().skip(from) {
                machine.handle(step.input, &mut NoHooks, &mut out, step.at);
                let _ = (machine.next_wake(), machine.status());
                out.drain();
            }
        }
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..70_u64,
            any::<u64>(),
            Just(u64::MAX),
            Just(u64::from(u32::MAX))
        ]
    }

    /// Replaces one of the numbers in it.
    fn edit(value: &mut serde_json::Value, at: &prop::sample::Index, new: u64) {
        let mut count = 0;
        each_number(value, &mut |_| count += 1);
        if count == 0 {
            return;
        }
        let (chosen, mut n) = (at.index(count), 0);
        each_number(value, &mut |number| {
            if n == chosen {
                *number = new.into();
            }
            n += 1;
        });
    }

    fn each_number(value: &mut serde_json::Value, then: &mut dyn FnMut(&mut serde_json::Value)) {
        use serde_json::Value;
        match value {
            Value::Number(_) => then(value),
            Value::Array(list) => list.iter_mut().for_each(|value| each_number(value, then)),
            Value::Object(map) => map.values_mut().for_each(|value| each_number(value, then)),
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
}
