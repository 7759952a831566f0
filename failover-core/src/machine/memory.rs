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
use crate::pool::{Pool, PoolMemory, SlotIndex};
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
        let machine = Self {
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
    fn is_sound(&self) -> bool {
        let (slots, last) = (self.pool.len(), self.last_attempt);
        let in_state: Option<SlotIndex> = match &self.state {
            State::Waiting(plan) => Some(plan.slot),
            State::Connected { slot, .. } => Some(*slot),
            State::Idle | State::Dialing | State::Paused | State::Starved | State::Closed(_) => {
                None
            }
        };
        let in_stage = match self.stage {
            Stage::StartUp { pinned } => pinned.get(),
            Stage::After { lost } => lost.get(),
        };
        let dialled = self.attempts.iter().map(|dial| dial.slot);
        let mut named = dialled.chain(in_state).chain(in_stage);
        let mut dials = self.attempts.iter().map(|dial| dial.id.number());
        // A number that is never used twice needs room above, and so does a time: its end means never.
        last < u64::MAX / 2
            && self.latest < Time::FAR
            && named.all(|slot| slot < slots)
            && dials.all(|dial| dial <= last)
            && self
                .extras
                .as_ref()
                .is_none_or(|extras| extras.is_sound(slots, last))
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
