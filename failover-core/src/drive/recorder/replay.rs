//! A record, played again.

use std::collections::VecDeque;
use std::fmt;
use std::vec::Vec;

use crate::drive::recorder::HookAnswer;
use crate::drive::recorder::recording::{Entry, Recording, plain};
use crate::machine::{Answer, Machine, Outbox, Output};
use crate::policy::{Choice, ChoiceAsked, DelayAnswer, DelayAsked, Hooks, JudgeAsked, Reaction};

/// A record, played again in the real machine, entry by entry. See [`Recording::replay`].
pub struct Replay<'a> {
    entries: core::slice::Iter<'a, Entry>,
    machine: Machine,
    out: Outbox,
}

/// An entry that was played again.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Replayed<'a> {
    /// The entry, as it was recorded.
    pub entry: &'a Entry,
    /// What the machine put out this time.
    pub outputs: Vec<Output>,
    /// What it did otherwise, apart from that.
    pub otherwise: Option<Otherwise>,
}

/// What a machine does otherwise than it was recorded, apart from what it puts out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Otherwise {
    /// It did not take the input in.
    NotTaken,
    /// It asked the hooks something else.
    Asked,
}

impl<'a> Replay<'a> {
    pub(super) fn new(recording: &'a Recording, machine: Machine) -> Self {
        Self {
            entries: recording.entries.iter(),
            machine,
            out: Outbox::default(),
        }
    }

    /// The machine, as the entries so far have left it.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }
}

impl Replayed<'_> {
    /// Whether it came out as it was recorded.
    #[must_use]
    pub fn is_the_same(&self) -> bool {
        self.otherwise.is_none() && self.outputs == self.entry.outputs
    }
}

impl<'a> Iterator for Replay<'a> {
    type Item = Replayed<'a>;

    fn next(&mut self) -> Option<Replayed<'a>> {
        let entry = self.entries.next()?;
        let mut hooks = Answers {
            silent: entry.hooks.is_empty(),
            answers: entry.hooks.iter().copied().collect(),
            asked_otherwise: false,
        };
        let answer = self
            .machine
            .handle(entry.input, &mut hooks, &mut self.out, entry.at);
        let otherwise = if answer != Answer::Taken {
            Some(Otherwise::NotTaken)
        } else if hooks.asked_otherwise || !hooks.answers.is_empty() {
            Some(Otherwise::Asked)
        } else {
            None
        };
        Some(Replayed {
            entry,
            outputs: self.out.drain().map(plain).collect(),
            otherwise,
        })
    }
}

impl fmt::Debug for Replay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("to_come", &self.entries.len())
            .field("status", &self.machine.status())
            .finish_non_exhaustive()
    }
}

/// Hooks that answer as they did.
struct Answers {
    /// They said nothing of their own.
    silent: bool,
    answers: VecDeque<HookAnswer>,
    asked_otherwise: bool,
}

impl Answers {
    fn next(&mut self) -> Option<HookAnswer> {
        let answer = self.answers.pop_front();
        self.asked_otherwise |= answer.is_none() && !self.silent;
        answer
    }
}

impl Hooks for Answers {
    fn delay(&mut self, _: &DelayAsked) -> DelayAnswer {
        match self.next() {
            Some(HookAnswer::Delay(answer)) => answer,
            Some(HookAnswer::Choice(_) | HookAnswer::Judge(_)) => {
                self.asked_otherwise = true;
                DelayAnswer::AsSuggested
            }
            Some(HookAnswer::AsSuggested) | None => DelayAnswer::AsSuggested,
        }
    }

    fn choose(&mut self, _: &ChoiceAsked) -> Choice {
        match self.next() {
            Some(HookAnswer::Choice(answer)) => answer,
            Some(HookAnswer::Delay(_) | HookAnswer::Judge(_)) => {
                self.asked_otherwise = true;
                Choice::AsSuggested
            }
            Some(HookAnswer::AsSuggested) | None => Choice::AsSuggested,
        }
    }

    fn judge(&mut self, asked: &JudgeAsked) -> Reaction {
        match self.next() {
            Some(HookAnswer::Judge(answer)) => answer,
            Some(HookAnswer::Delay(_) | HookAnswer::Choice(_)) => {
                self.asked_otherwise = true;
                asked.suggested
            }
            Some(HookAnswer::AsSuggested) | None => asked.suggested,
        }
    }
}
