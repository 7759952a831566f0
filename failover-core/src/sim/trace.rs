//! What happened, in order.

use core::fmt;
use std::sync::Arc;

use crate::endpoint::Endpoints;
use crate::machine::{Answer, DialOrder, Event, Input, Output, Status};
use crate::policy::{
    Choice, ChoiceAsked, DelayAnswer, DelayAsked, JudgeAsked, Policy, Reaction, Seed,
};
use crate::time::Time;

/// One life of one machine: what it was made of, and every step it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Its policy.
    pub policy: Arc<Policy>,
    /// Its endpoints at the start.
    pub endpoints: Endpoints,
    /// Its seed.
    pub seed: Seed,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One call of [`Machine::handle`](crate::machine::Machine::handle), and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The time that was told; it may run backwards.
    pub at: Time,
    /// The news.
    pub input: Input,
    /// What became of it.
    pub answer: Answer,
    /// What the hooks were asked meanwhile, and what they answered.
    pub asked: Vec<Asked>,
    /// The work that followed.
    pub outputs: Vec<Output>,
    /// When the machine wants to be woken afterwards.
    pub wake: Option<Time>,
    /// What it does afterwards.
    pub status: Status,
}

/// A question to the hooks and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asked {
    /// How long to wait.
    Delay(DelayAsked, DelayAnswer),
    /// Whom to dial.
    Choice(ChoiceAsked, Choice),
    /// What a failure means.
    Judge(JudgeAsked, Reaction),
}

impl Trace {
    /// The steps with the machine's own time, which stands still while the told one runs backwards.
    pub fn timed(&self) -> impl Iterator<Item = (Time, &Step)> {
        self.steps.iter().scan(Time::ZERO, |latest, step| {
            *latest = step.at.max(*latest);
            Some((*latest, step))
        })
    }

    /// Every output with its time.
    pub fn outputs(&self) -> impl Iterator<Item = (Time, &Output)> {
        self.timed()
            .flat_map(|(at, step)| step.outputs.iter().map(move |output| (at, output)))
    }

    /// Every dial with its time.
    pub fn dials(&self) -> impl Iterator<Item = (Time, DialOrder)> {
        self.outputs().filter_map(|(at, output)| match output {
            Output::Dial(order) => Some((at, *order)),
            Output::Cancel(_) | Output::HangUp { .. } | Output::Event(_) => None,
        })
    }

    /// Every event with its time.
    pub fn events(&self) -> impl Iterator<Item = (Time, &Event)> {
        self.outputs().filter_map(|(at, output)| match output {
            Output::Event(event) => Some((at, event)),
            Output::Dial(_) | Output::Cancel(_) | Output::HangUp { .. } => None,
        })
    }
}

/// One line a step.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (at, step)) in self.timed().enumerate() {
            writeln!(f, "{number:4} {at:?} {:?} -> {:?}", step.input, step.answer)?;
            for output in &step.outputs {
                writeln!(f, "         {output:?}")?;
            }
            writeln!(f, "         {:?}, wake {:?}", step.status, step.wake)?;
        }
        Ok(())
    }
}
