//! A record as lines of text: each line a value that serde writes and reads, JSON for one.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec::Vec;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::config::PolicyForm;
use crate::drive::recorder::HookAnswer;
use crate::drive::recorder::recording::{Beginning, Entry, KnownEndpoint, Recording};
use crate::endpoint::{EndpointId, Endpoints, Traits};
use crate::machine::{Change, Input, Machine, Memory, Output};
use crate::policy::{Policy, Seed};
use crate::time::Time;

/// One line of a record. `docs/flight-recorder.md` describes them.
///
/// The core writes no JSON itself; with `serde_json` it is
/// `for line in recording.lines() { writeln!(file, "{}", serde_json::to_string(&line)?)?; }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Line {
    /// The first line: what is recorded.
    Recording(Box<HeadLine>),
    /// An endpoint. They come before all inputs.
    Endpoint(EndpointLine),
    /// The machine as it was before the first input that is kept, if others were dropped.
    Checkpoint(Box<MachineLine>),
    /// An input, and what came of it.
    Input(Box<InputLine>),
    /// The last line: a record without it was cut.
    End(EndLine),
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HeadLine {
    /// The version of the format.
    pub version: Version,
    /// The version of this crate that recorded it.
    pub failover_core: String,
    /// The seed that the connector began with.
    pub seed: u64,
    /// How many inputs were dropped before the first that is kept.
    pub dropped: u64,
    /// The policy, every key of it.
    pub policy: PolicyForm,
}

/// The version of the format: always 1, or it is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Version;

const VERSION: u64 = 1;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(VERSION)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match u64::deserialize(from)? {
            VERSION => Ok(Self),
            other => Err(D::Error::custom(format_args!(
                "this is version {other} of the format, and version {VERSION} is read here: take the version of the tool that recorded it"
            ))),
        }
    }
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EndpointLine {
    /// Its id in this record.
    pub id: EndpointId,
    /// Its name.
    pub name: String,
    /// The URLs of its routes, without userinfo and query.
    pub routes: Vec<String>,
    /// What the machine knew of it at the start; nothing for one that was added later, and where the
    /// record begins with a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traits: Option<Traits>,
}

/// A machine: all that it knows. Its inside belongs to the version that wrote it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineLine {
    /// Nothing, if it has more than 64 endpoints: then the record can be read, and not played again.
    machine: Option<Memory>,
}

/// An input, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct InputLine {
    /// When, in nanoseconds by the connector's clock.
    pub at: Time,
    /// The news.
    pub input: Input,
    /// What hooks answered meanwhile, if not only what the policy suggested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookAnswer>,
    /// The work that followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
}

/// The last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EndLine {
    /// When the record was read, in nanoseconds by the connector's clock.
    pub at: Time,
    /// How many inputs there are.
    pub inputs: u64,
}

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
    /// It, line by line.
    pub fn lines(&self) -> impl Iterator<Item = Line> {
        let listed = match &self.beginning {
            Beginning::Start(list) => Some(list),
            Beginning::Checkpoint(_) | Beginning::Unknown => None,
        };
        let head = Line::Recording(Box::new(HeadLine {
            version: Version,
            failover_core: self.version.clone(),
            seed: self.seed.get(),
            dropped: self.dropped,
            policy: PolicyForm::from(self.policy()),
        }));
        let traits = move |id| listed?.iter().find(|traits| traits.id() == id).copied();
        let endpoints = self.known.iter().map(move |(id, known)| {
            Line::Endpoint(EndpointLine {
                id: *id,
                name: known.name.clone(),
                routes: known.routes.clone(),
                traits: traits(*id),
            })
        });
        let machine = match &self.beginning {
            Beginning::Start(_) => None,
            Beginning::Checkpoint(machine) => Some(machine.memory()),
            Beginning::Unknown => Some(None),
        };
        let checkpoint = machine.map(|machine| Line::Checkpoint(Box::new(MachineLine { machine })));
        let inputs = self.entries.iter().map(|entry| {
            Line::Input(Box::new(InputLine {
                at: entry.at,
                input: entry.input,
                hooks: entry.hooks.clone(),
                outputs: entry.outputs.clone(),
            }))
        });
        let end = Line::End(EndLine {
            at: self.until,
            inputs: u64::try_from(self.entries.len()).unwrap_or(u64::MAX),
        });
        core::iter::once(head)
            .chain(endpoints)
            .chain(checkpoint)
            .chain(inputs)
            .chain([end])
    }

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
