//! How a record ends.

use std::fmt;

use failover_core::drive::Recording;
use failover_core::endpoint::EndpointId;
use failover_core::machine::{Machine, Status};
use failover_core::time::Time;
use serde_json::{Value, json};

use crate::plural::counted;
use crate::timeline::{millis_at, short};

/// How a record ends, and whether this version decides the same.
#[derive(Clone, Debug)]
pub struct End {
    inputs: usize,
    version: String,
    until: Time,
    outcome: Outcome,
    standing: Option<Standing>,
}

/// Whether this version decides the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Same,
    /// From this line of the file on it does not.
    Differs {
        line: usize,
    },
    /// The machine at its beginning was not written down.
    NotPlayed,
}

/// What a client is doing at some time.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    at: Time,
    status: Status,
    endpoint: Option<String>,
}

impl Standing {
    pub(super) fn of(machine: &Machine, recording: &Recording, at: Time) -> Self {
        let status = machine.status();
        let name = |id: EndpointId| {
            let known = recording.endpoint(id);
            known.map_or_else(|| id.to_string(), |known| known.name.clone())
        };
        let endpoint = match status {
            Status::Waiting { endpoint, .. } | Status::Dialing { endpoint } => Some(endpoint),
            Status::Connected { link, .. } => Some(link.endpoint),
            Status::Idle | Status::Paused | Status::Starved | Status::Closed(_) | _ => None,
        };
        Self {
            at,
            status,
            endpoint: endpoint.map(name),
        }
    }

    fn word(&self) -> &'static str {
        match self.status {
            Status::Idle => "idle",
            Status::Waiting { .. } => "waiting",
            Status::Dialing { .. } => "dialing",
            Status::Connected { .. } => "connected",
            Status::Paused => "paused",
            Status::Starved => "starved",
            Status::Closed(_) => "closed",
            _ => "unknown",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.endpoint.as_deref().unwrap_or_default();
        match self.status {
            Status::Idle => f.write_str("not started"),
            Status::Waiting { until, .. } => {
                write!(f, "waiting {} to dial {name}", short(until.since(self.at)))
            }
            Status::Dialing { .. } => write!(f, "dialling {name}"),
            Status::Connected { since, .. } => {
                write!(f, "connected to {name} for {}", short(self.at.since(since)))
            }
            Status::Paused => f.write_str("paused: no dials until the network is back"),
            Status::Starved => f.write_str("starved: there is nobody to dial"),
            Status::Closed(reason) => write!(f, "over: {reason}"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl End {
    pub(super) fn new(recording: &Recording, outcome: Outcome, standing: Option<Standing>) -> Self {
        Self {
            inputs: recording.entries().len(),
            version: recording.version().to_string(),
            until: recording.until(),
            outcome,
            standing,
        }
    }

    /// Whether this version decides as it was recorded, as far as that can be known.
    #[must_use]
    pub fn is_the_same(&self) -> bool {
        !matches!(self.outcome, Outcome::Differs { .. })
    }

    /// For programs: the last line.
    #[must_use]
    pub fn json(&self) -> Value {
        let (same, line) = match self.outcome {
            Outcome::Same => (Some(true), None),
            Outcome::Differs { line } => (Some(false), Some(line)),
            Outcome::NotPlayed => (None, None),
        };
        json!({
            "at_ms": millis_at(self.until),
            "event": "end",
            "inputs": self.inputs,
            "decides_the_same": same,
            "differs_at_line": line,
            "status": self.standing.as_ref().map(Standing::word),
            "endpoint": self.standing.as_ref().and_then(|standing| standing.endpoint.clone()),
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(standing) = &self.standing {
            writeln!(f, "at the end: {standing}")?;
        }
        let inputs = counted(self.inputs, "input");
        let version = &self.version;
        match self.outcome {
            Outcome::Same => write!(
                f,
                "{inputs} played again in the machine of this version: it decides the same, each time"
            ),
            Outcome::Differs { line } => write!(
                f,
                "DIFFERS: from line {line} of the record on, this version does not decide as failover-core {version} did, or the record was edited; that line is marked above"
            ),
            Outcome::NotPlayed => write!(
                f,
                "{inputs} told as they were recorded, and not played again: the record begins in the middle, with more than 64 endpoints"
            ),
        }
    }
}
