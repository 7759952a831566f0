//! Lines, read back.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec::Vec;

use thiserror::Error;

use crate::drive::recorder::line::{EndLine, EndpointLine, HeadLine, InputLine, Line, MachineLine};
use crate::drive::recorder::recording::{Beginning, Entry, KnownEndpoint, Recording};
use crate::endpoint::{EndpointId, Endpoints, Traits};
use crate::machine::{Change, Input, Machine};
use crate::policy::{Policy, Seed};
use crate::time::Time;

/// Why a text is no record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
#[non_exhaustive]
pub struct ReadError {
    /// Which line, from 1; the one after the last, if the end is missing.
    pub line: u64,
    /// What is wrong with it.
    pub problem: ReadProblem,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadProblem {
    /// It is no line of a record of this version.
    #[error("{0}")]
    NoLine(String),
    /// It stands where another one belongs.
    #[error("{0}")]
    OutOfPlace(&'static str),
    /// The last line is missing.
    #[error("the record ends here, but its last line (`end`) is missing: it was cut")]
    Cut,
    /// The policy makes no sense.
    #[error("the policy: {0}")]
    Policy(String),
    /// An endpoint makes no sense.
    #[error("the endpoint {id} {what}")]
    Endpoint {
        /// Its id.
        id: EndpointId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The checkpoint makes no sense.
    #[error("the checkpoint contradicts itself or the policy: was it edited?")]
    Checkpoint,
    /// Time runs backwards, or beyond what any clock tells.
    #[error(
        "the time {at:?} is before that of the line above, or beyond 292 years: was it edited?"
    )]
    Time {
        /// The time.
        at: Time,
    },
    /// Inputs are missing, or there are too many.
    #[error("the end speaks of {said} inputs, and there are {there}: lines were lost or added")]
    Count {
        /// How many the last line speaks of.
        said: u64,
        /// How many there are.
        there: u64,
    },
}

impl Recording {
    /// Reads a record, line by line. What stands in the place of a line that could not be read is told
    /// with its number.
    ///
    /// # Errors
    /// The first line that is wrong, or that the last one is missing.
    pub fn read<E: ToString>(
        lines: impl IntoIterator<Item = Result<Line, E>>,
    ) -> Result<Self, ReadError> {
        let mut reader = Reader::default();
        let mut number = 0;
        for line in lines {
            number += 1;
            let wrong = |problem| ReadError {
                line: number,
                problem,
            };
            let line = line.map_err(|error| wrong(ReadProblem::NoLine(error.to_string())))?;
            reader.take(line).map_err(wrong)?;
        }
        reader.finish().map_err(|problem| ReadError {
            line: number + 1,
            problem,
        })
    }
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    head: Option<(HeadLine, Arc<Policy>)>,
    known: BTreeMap<EndpointId, KnownEndpoint>,
    listed: Vec<Traits>,
    checkpoint: Option<Beginning>,
    entries: Vec<Entry>,
    latest: Time,
    end: Option<EndLine>,
}

impl Reader {
    fn take(&mut self, line: Line) -> Result<(), ReadProblem> {
        if self.end.is_some() {
            return out_of_place("there is a line after the last one (`end`)");
        }
        match line {
            Line::Recording(head) => self.head(*head),
            _ if self.head.is_none() => {
                out_of_place("a record begins with a line `recording`, and this is another")
            }
            Line::Endpoint(endpoint) => self.endpoint(endpoint),
            Line::Checkpoint(line) => self.checkpoint(*line),
            Line::Input(input) => self.input(*input),
            Line::End(end) => self.end(end),
        }
    }

    fn head(&mut self, head: HeadLine) -> Result<(), ReadProblem> {
        if self.head.is_some() {
            return out_of_place("there is a second line `recording`");
        }
        let policy = head.policy.policy();
        let policy = policy.map_err(|error| ReadProblem::Policy(error.to_string()))?;
        self.head = Some((head, Arc::new(policy)));
        Ok(())
    }

    fn endpoint(&mut self, line: EndpointLine) -> Result<(), ReadProblem> {
        if self.checkpoint.is_some() || !self.entries.is_empty() {
            return out_of_place("endpoints stand before the checkpoint and all inputs");
        }
        let (id, traits) = (line.id, line.traits);
        let wrong = |what| Err(ReadProblem::Endpoint { id, what });
        if traits.is_some_and(|traits| traits.id() != id) {
            return wrong("has traits of another");
        }
        if traits.is_some_and(|traits| !traits.is_sound()) {
            return wrong("has more routes than there may be, or no weight");
        }
        let known = KnownEndpoint {
            name: line.name,
            routes: line.routes,
        };
        if self.known.insert(id, known).is_some() {
            return wrong("stands here twice");
        }
        self.listed.extend(traits);
        Ok(())
    }

    fn checkpoint(&mut self, line: MachineLine) -> Result<(), ReadProblem> {
        let Some((_, policy)) = self.head.as_ref().filter(|(head, _)| head.dropped > 0) else {
            return out_of_place("a record of which nothing was dropped has no checkpoint");
        };
        if self.checkpoint.is_some() || !self.entries.is_empty() {
            return out_of_place("one checkpoint stands before all inputs, and no other");
        }
        let Some(memory) = line.machine else {
            self.checkpoint = Some(Beginning::Unknown);
            return Ok(());
        };
        let machine = Machine::remembering(Arc::clone(policy), memory);
        let machine = machine.map_err(|_| ReadProblem::Checkpoint)?;
        self.checkpoint = Some(Beginning::Checkpoint(Box::new(machine)));
        Ok(())
    }

    fn input(&mut self, line: InputLine) -> Result<(), ReadProblem> {
        let dropped = self.head.as_ref().is_some_and(|(head, _)| head.dropped > 0);
        if dropped && self.checkpoint.is_none() {
            return out_of_place("a record of which inputs were dropped needs a checkpoint first");
        }
        self.time(line.at)?;
        if let Input::Change(Change::Add(traits)) = line.input
            && !traits.is_sound()
        {
            let (id, what) = (
                traits.id(),
                "has more routes than there may be, or no weight",
            );
            return Err(ReadProblem::Endpoint { id, what });
        }
        self.entries.push(Entry {
            at: line.at,
            input: line.input,
            hooks: line.hooks,
            outputs: line.outputs,
        });
        Ok(())
    }

    fn end(&mut self, end: EndLine) -> Result<(), ReadProblem> {
        self.time(end.at)?;
        let there = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        if end.inputs != there {
            let said = end.inputs;
            return Err(ReadProblem::Count { said, there });
        }
        self.end = Some(end);
        Ok(())
    }

    fn time(&mut self, at: Time) -> Result<(), ReadProblem> {
        if at < self.latest || at >= Time::FAR {
            return Err(ReadProblem::Time { at });
        }
        self.latest = at;
        Ok(())
    }

    fn finish(self) -> Result<Recording, ReadProblem> {
        let (Some((head, policy)), Some(end)) = (self.head, self.end) else {
            return Err(ReadProblem::Cut);
        };
        let start = || Beginning::Start(Endpoints::from(self.listed));
        Ok(Recording {
            version: head.failover_core,
            policy,
            seed: Seed::new(head.seed),
            dropped: head.dropped,
            known: self.known,
            beginning: self.checkpoint.unwrap_or_else(start),
            entries: self.entries,
            until: end.at,
        })
    }
}

fn out_of_place(what: &'static str) -> Result<(), ReadProblem> {
    Err(ReadProblem::OutOfPlace(what))
}
