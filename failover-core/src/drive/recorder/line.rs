//! A record as lines of text: each line a value that serde writes and reads, JSON for one.

use std::boxed::Box;
use std::string::String;
use std::vec::Vec;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::PolicyForm;
use crate::drive::recorder::HookAnswer;
use crate::drive::recorder::recording::{Beginning, Recording};
use crate::endpoint::{EndpointId, Traits};
use crate::machine::{Input, Memory, Output};
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
    pub(super) machine: Option<Memory>,
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
}
