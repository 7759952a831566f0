//! Why a client waits, and for whom it does not.

use std::time::Duration;

use failover_core::drive::{Entry, HookAnswer, Recording};
use failover_core::endpoint::EndpointId;
use failover_core::machine::{Condition, Input, Machine};
use failover_core::policy::{Choice, DelayAnswer, Every};
use failover_core::time::Time;
use serde_json::{Value, json};

use crate::timeline::{millis, millis_at, short};

/// A wait.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wait {
    next: EndpointId,
    after: Duration,
    reason: Reason,
    /// Who may not be dialled, apart from the next one, until when.
    out: Vec<(EndpointId, Condition, Time)>,
}

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reason {
    /// A hook wanted it.
    Hook,
    /// The next one may not be dialled before.
    Rests(Condition),
    /// Two dials of one endpoint are at least this far apart.
    Floor,
    /// The clients that are told of it at the same time shall not dial at the same time.
    Spread,
    /// The policy's pace.
    Pace(Every),
}

/// The least distance of two dials of one endpoint.
const FLOOR: Duration = Duration::from_millis(1);

/// How many endpoints that may not be dialled are told of.
const SHOWN: usize = 4;

/// Why this machine waits, as this entry has left it.
pub(super) fn wait(
    machine: &Machine,
    recording: &Recording,
    entry: &Entry,
    (next, until): (EndpointId, Time),
) -> Wait {
    let others = recording.endpoints().map(|(id, _)| id);
    let out = others.filter(|id| *id != next).filter_map(|id| {
        let (condition, _) = machine.condition(id)?;
        let rest = machine.rests_until(id).unwrap_or(Time::ZERO);
        match condition {
            Condition::Marked | Condition::Suspended => {
                (rest > entry.at).then_some((id, condition, rest))
            }
            Condition::Retired | Condition::Off => Some((id, condition, Time::ZERO)),
            // One that was removed is no news.
            Condition::Active | Condition::Removed | _ => None,
        }
    });
    Wait {
        next,
        after: until.since(entry.at),
        reason: reason(machine, entry, next, until),
        out: out.collect(),
    }
}

fn reason(machine: &Machine, entry: &Entry, next: EndpointId, until: Time) -> Reason {
    let wanted = entry.hooks.iter().any(|answer| match answer {
        HookAnswer::Delay(answer) => *answer != DelayAnswer::AsSuggested,
        HookAnswer::Choice(answer) => matches!(answer, Choice::EndpointAfter(..)),
        HookAnswer::AsSuggested | HookAnswer::Judge(_) | _ => false,
    });
    let rests = machine.rests_until(next).filter(|rest| *rest >= until);
    match (rests, machine.condition(next), entry.input) {
        _ if wanted => Reason::Hook,
        (Some(_), Some((condition, _)), _) => Reason::Rests(condition),
        (_, _, Input::Resume | Input::Recovered { .. }) => Reason::Spread,
        _ if until.since(entry.at) <= FLOOR => Reason::Floor,
        _ => Reason::Pace(machine.policy().pace().every),
    }
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::Rests(_) => "rest",
            Self::Floor => "floor",
            Self::Spread => "spread",
            Self::Pace(_) => "pace",
        }
    }
}

impl Wait {
    pub(super) fn text(&self, name: &impl Fn(EndpointId) -> String) -> String {
        let next = name(self.next);
        let mut text = match self.reason {
            Reason::Hook => format!(
                "the hook wants a wait of {} before {next}",
                short(self.after)
            ),
            Reason::Rests(condition) => format!(
                "nobody else may be dialled, and {next} {} for {}",
                words(condition),
                short(self.after)
            ),
            Reason::Floor => format!("two dials of {next} are at least {} apart", short(FLOOR)),
            Reason::Spread => format!(
                "clients that hear it at once spread over a while: {} before {next}",
                short(self.after)
            ),
            Reason::Pace(every) => format!(
                "the policy waits {}: {} before {next}",
                stands_before(every),
                short(self.after)
            ),
        };
        for (id, condition, until) in self.out.iter().take(SHOWN) {
            text += &format!("; {} {}", name(*id), words(*condition));
            if *until > Time::ZERO {
                text += &format!(" until {:.3}", until.since(Time::ZERO).as_secs_f64());
            }
        }
        if let more @ 1.. = self.out.len().saturating_sub(SHOWN) {
            text += &format!("; and {more} more may not be dialled");
        }
        text
    }

    pub(super) fn json(&self, name: &impl Fn(EndpointId) -> String) -> Value {
        let out = self.out.iter().map(|(id, condition, until)| {
            let until = (*until > Time::ZERO).then(|| millis_at(*until));
            json!({"endpoint": name(*id), "is": words(*condition), "until_ms": until})
        });
        json!({
            "event": "wait",
            "endpoint": name(self.next),
            "wait_ms": millis(self.after),
            "because": self.reason.as_str(),
            "out": out.collect::<Value>(),
        })
    }
}

fn stands_before(every: Every) -> &'static str {
    match every {
        Every::Attempt => "before every dial",
        Every::Endpoint => "before an endpoint that failed is dialled again",
        Every::Return => "before it goes back to an endpoint that failed",
        Every::Sweep | _ => "before each walk over the list",
    }
}

/// What an endpoint does that may not be dialled.
pub(super) fn words(condition: Condition) -> &'static str {
    match condition {
        Condition::Marked => "rests",
        Condition::Suspended => "is suspended",
        Condition::Retired => "is out until the next stable connection",
        Condition::Off => "is switched off",
        Condition::Removed => "is removed",
        Condition::Active | _ => "is ready",
    }
}
