//! Laws that let the same life happen again: L5 and L12.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::endpoint::EndpointId;
use crate::machine::{Answer, Input, Machine, Outbox, Output, Status};
use crate::policy::{Choice, ChoiceAsked, DelayAnswer, DelayAsked, Hooks, JudgeAsked, Reaction};
use crate::sim::{Asked, Step, Trace};
use crate::testing::laws::ledger::Ledger;
use crate::testing::laws::{Violation, violation};
use crate::time::Time;

/// **L5 replay.** Same (policy, endpoints, seed, inputs): same trace. The trace is played again, its
/// hooks giving the recorded answers.
///
/// # Errors
/// The first step that comes out differently.
pub fn l05_replay(trace: &Trace) -> Result<(), Violation> {
    let all: Vec<(usize, Time, &Step)> = trace
        .steps
        .iter()
        .enumerate()
        .map(|(at, step)| (at, step.at, step))
        .collect();
    play_again("L5", trace, &all)
}

/// **L12 stale.** Early, late, doubled and older-generation inputs change nothing; whatever comes
/// after close is answered [`Answer::Closed`].
///
/// Which inputs those are is recounted from the dials, answers and losses. Each must be answered as
/// stale and put nothing out; and without them the rest of the life must be the same.
///
/// # Errors
/// The first input that was not recognised, or the first step that would have been different.
pub fn l12_stale(trace: &Trace) -> Result<(), Violation> {
    let mut ledger = Ledger::new(trace);
    let mut kept = Vec::new();
    let mut started = false;
    for (at, (now, step)) in trace.timed().enumerate() {
        let before = at.checked_sub(1).map(|before| &trace.steps[before]);
        let wake = before.and_then(|step| step.wake);
        let closed = before.is_some_and(|step| matches!(step.status, Status::Closed(_)));
        let expected = match step.input {
            _ if closed => Some(Answer::Closed),
            Input::Start if started => Some(Answer::Stale),
            Input::Connected { attempt }
            | Input::Failed { attempt, .. }
            | Input::Learned { attempt, .. } => match ledger.in_flight.contains_key(&attempt) {
                true => Some(Answer::Taken),
                false => Some(Answer::Stale),
            },
            Input::Held { attempt } => {
                let waits =
                    ledger.in_flight.contains_key(&attempt) && !ledger.held.contains_key(&attempt);
                Some(if waits { Answer::Taken } else { Answer::Stale })
            }
            Input::Begun { attempt } => match ledger.held.contains_key(&attempt) {
                true => Some(Answer::Taken),
                false => Some(Answer::Stale),
            },
            Input::Rests { endpoint, until } => {
                let is_news = until > now && is_there(&ledger, endpoint);
                (!is_news).then_some(Answer::Stale)
            }
            Input::Recovered { endpoint } => {
                let is_news = ledger.rests(endpoint) && is_there(&ledger, endpoint);
                (!is_news).then_some(Answer::Stale)
            }
            Input::Lost { attempt, .. } => match ledger.open.contains(&attempt) {
                true => Some(Answer::Taken),
                false => Some(Answer::Stale),
            },
            Input::Drain { attempt } => {
                let main = ledger.main.map(|(link, _)| link.attempt);
                (main != Some(attempt)).then_some(Answer::Stale)
            }
            Input::Start
            | Input::Wake
            | Input::Reconnect(_)
            | Input::Pause
            | Input::Resume
            | Input::Change(_)
            | Input::Close => None,
        };
        started |= step.input == Input::Start;
        if let Some(expected) = expected
            && step.answer != expected
        {
            let what = format!("the answer is {:?}, it must be {expected:?}", step.answer);
            return violation("L12", at, what);
        }
        let early = step.input == Input::Wake && wake.is_none_or(|wake| now < wake);
        let void = step.answer != Answer::Taken || early;
        let same =
            before.is_none_or(|before| (before.wake, before.status) == (step.wake, step.status));
        if void && !(step.outputs.is_empty() && same) {
            return violation("L12", at, "an input that is void changed something");
        }
        if !void {
            kept.push((at, now, step));
        }
        ledger.hear(step);
        for output in &step.outputs {
            ledger.take(output);
        }
    }
    play_again("L12", trace, &kept)
}

fn is_there(ledger: &Ledger<'_>, endpoint: EndpointId) -> bool {
    ledger.traits.contains_key(&endpoint) && !ledger.gone.contains(&endpoint)
}

fn play_again(
    law: &'static str,
    trace: &Trace,
    steps: &[(usize, Time, &Step)],
) -> Result<(), Violation> {
    let mut machine = Machine::new(
        Arc::clone(&trace.policy),
        trace.endpoints.clone(),
        trace.seed,
    );
    let mut out = Outbox::default();
    for &(at, now, step) in steps {
        let mut memory = Memory {
            asked: step.asked.iter().copied().collect(),
            differs: false,
        };
        let answer = machine.handle(step.input, &mut memory, &mut out, now);
        let outputs: Vec<Output> = out.drain().collect();
        let asked_otherwise = memory.differs || !memory.asked.is_empty();
        if asked_otherwise {
            return violation(law, at, "the second time, the hooks were asked otherwise");
        }
        let (wake, status) = (machine.next_wake(), machine.status());
        if (answer, &outputs, wake, status) != (step.answer, &step.outputs, step.wake, step.status)
        {
            let what = format!(
                "the second time: {answer:?}, {outputs:?}, wake {wake:?}, {status:?}; the first \
                 time: {:?}, {:?}, wake {:?}, {:?}",
                step.answer, step.outputs, step.wake, step.status
            );
            return violation(law, at, what);
        }
    }
    Ok(())
}

/// Hooks that give the answers they gave before, to the questions they were asked before.
struct Memory {
    asked: VecDeque<Asked>,
    differs: bool,
}

impl Hooks for Memory {
    fn delay(&mut self, asked: &DelayAsked) -> DelayAnswer {
        match self.asked.pop_front() {
            Some(Asked::Delay(before, answer)) if before == *asked => answer,
            Some(_) | None => {
                self.differs = true;
                DelayAnswer::AsSuggested
            }
        }
    }

    fn choose(&mut self, asked: &ChoiceAsked) -> Choice {
        match self.asked.pop_front() {
            Some(Asked::Choice(before, answer)) if before == *asked => answer,
            Some(_) | None => {
                self.differs = true;
                Choice::AsSuggested
            }
        }
    }

    fn judge(&mut self, asked: &JudgeAsked) -> Reaction {
        match self.asked.pop_front() {
            Some(Asked::Judge(before, answer)) if before == *asked => answer,
            Some(_) | None => {
                self.differs = true;
                asked.suggested
            }
        }
    }
}
