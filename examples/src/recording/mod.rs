//! What a connector's flight recorder kept: written, read, and played again.
//!
//! `docs/flight-recorder.md` describes the file, and the lines that are told of it.

mod end;
mod told;
mod why;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use failover_core::attempt::AttemptId;
use failover_core::config::PolicyForm;
use failover_core::drive::{Entry, HookAnswer, Line, ReadError, Recording, Replay};
use failover_core::endpoint::EndpointId;
use failover_core::machine::{Change, DialOrder, Input, Output, Status, Verdict, Whither};
use failover_core::time::Time;
use serde_json::{Value, json};
use thiserror::Error;

pub use self::end::End;
use self::end::{Outcome, Standing};
pub use self::told::Told;
use self::told::What;
use crate::explain;
use crate::plural::counted;
use crate::scenario::plain;
use crate::simulate::{Names, Said};
use crate::timeline::{millis_at, short};

/// Why a file is no record.
#[derive(Debug, Error)]
#[error("{name}:{}: {}", error.line, error.problem)]
pub struct RecordError {
    name: String,
    error: ReadError,
}

/// Reads a record; `name` is for errors.
///
/// # Errors
/// The first line that is wrong, or that the last one is missing.
pub fn read(name: &str, from: impl BufRead) -> Result<Recording, RecordError> {
    let lines = from.lines().map(|line| {
        let line = line.map_err(|error| error.to_string())?;
        serde_json::from_str::<Line>(&line).map_err(|error| of_one_line(&error))
    });
    Recording::read(lines).map_err(|error| RecordError {
        name: name.to_string(),
        error,
    })
}

/// Without the line, of which each text has one.
fn of_one_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at line 1 column ") {
        Some((what, column)) => format!("{} (column {column})", plain(what)),
        None => plain(&text),
    }
}

/// Writes a record.
///
/// # Errors
/// When it cannot be written.
pub fn write(recording: &Recording, to: &mut impl Write) -> io::Result<()> {
    for line in recording.lines() {
        writeln!(to, "{}", serde_json::to_string(&line)?)?;
    }
    Ok(())
}

/// What is played, for people.
#[must_use]
pub fn heading(recording: &Recording) -> String {
    let (from, inputs) = (began(recording), recording.entries().len());
    let seconds = |at: Time| at.since(Time::ZERO).as_secs_f64();
    let mut text = format!(
        "a record of {}, {:.3} to {:.3} by the client's clock: {}, seed {}, recorded by failover-core {}",
        short(recording.until().since(from)),
        seconds(from),
        seconds(recording.until()),
        counted(inputs, "input"),
        recording.seed().get(),
        recording.version(),
    );
    let endpoints = recording.endpoints().map(|(_, known)| {
        let routes = known.routes.join(", ");
        let is_named_after_it = routes.ends_with(&format!("://{}", known.name));
        match is_named_after_it {
            true => format!("\n  {routes}"),
            false => format!("\n  {} ({routes})", known.name),
        }
    });
    let endpoints: Vec<String> = endpoints.collect();
    text.extend(endpoints.iter().take(SHOWN).map(String::as_str));
    if let more @ 1.. = endpoints.len().saturating_sub(SHOWN) {
        text += &format!("\n  and {}", counted(more, "more endpoint"));
    }
    if recording.dropped() > 0 {
        let at = recording.replay().map(|replay| {
            let standing = Standing::of(replay.machine(), recording, from);
            format!(". At the beginning: {standing}")
        });
        text += &format!(
            "\n{} forgotten, because the ring was full{}",
            match recording.dropped() {
                1 => "1 older input was".to_string(),
                dropped => format!("{dropped} older inputs were"),
            },
            at.unwrap_or_default(),
        );
    }
    text += "\nThe policy:";
    for sentence in explain::words(recording.policy()) {
        text += &format!("\n  {sentence}");
    }
    text
}

/// How many endpoints a heading has.
const SHOWN: usize = 8;

/// The first line for programs: what is played.
#[must_use]
pub fn header(recording: &Recording) -> Value {
    let endpoints = recording.endpoints();
    let endpoints = endpoints.map(|(_, known)| json!({"name": known.name, "routes": known.routes}));
    json!({
        "at_ms": millis_at(began(recording)),
        "event": "recording",
        "version": 1,
        "failover_core": recording.version(),
        "seed": recording.seed().get(),
        "inputs": recording.entries().len(),
        "dropped": recording.dropped(),
        "until_ms": millis_at(recording.until()),
        "endpoints": endpoints.collect::<Value>(),
        "policy": PolicyForm::from(recording.policy()),
    })
}

fn began(recording: &Recording) -> Time {
    let first = recording.entries().first();
    first.map_or(recording.until(), |entry| entry.at)
}

/// Plays a record again, and tells, in order, what came in, what hooks answered, and what was done
/// about it, as it was recorded; why it then waits; and where the machine of this version does otherwise.
///
/// # Errors
/// What `tell` answered: it ends the play.
pub fn play<E>(
    recording: &Recording,
    tell: &mut dyn FnMut(&Told<'_>) -> Result<(), E>,
) -> Result<End, E> {
    let mut play = Play {
        recording,
        cast: Cast(recording),
        replay: recording.replay(),
        differs: None,
        dials: BTreeMap::new(),
        plan: None,
        tell,
    };
    for (index, entry) in recording.entries().iter().enumerate() {
        play.recorded(entry)?;
        play.again(entry, index)?;
    }
    let outcome = match (&play.replay, play.differs) {
        (_, Some(line)) => Outcome::Differs { line },
        (Some(_), None) => Outcome::Same,
        (None, None) => Outcome::NotPlayed,
    };
    let machine = play.replay.as_ref().filter(|_| outcome == Outcome::Same);
    let standing =
        machine.map(|replay| Standing::of(replay.machine(), recording, recording.until()));
    Ok(End::new(recording, outcome, standing))
}

/// A record that is being played.
struct Play<'a, E> {
    recording: &'a Recording,
    cast: Cast<'a>,
    replay: Option<Replay<'a>>,
    /// The line from which on this version does otherwise.
    differs: Option<usize>,
    /// The dials so far.
    dials: BTreeMap<AttemptId, DialOrder>,
    /// What is waited for.
    plan: Option<(EndpointId, Time)>,
    tell: &'a mut dyn FnMut(&Told<'_>) -> Result<(), E>,
}

impl<E> Play<'_, E> {
    /// Tells what was recorded.
    fn recorded(&mut self, entry: &Entry) -> Result<(), E> {
        if let Some(what) = self.of_input(&entry.input, entry.at) {
            self.tell(entry.at, what)?;
        }
        for answer in entry
            .hooks
            .iter()
            .filter(|answer| **answer != HookAnswer::AsSuggested)
        {
            self.tell(entry.at, What::Hook(*answer))?;
        }
        for output in &entry.outputs {
            match output {
                Output::Dial(order) => {
                    self.dials.insert(order.attempt, *order);
                    self.tell(entry.at, What::Said(Said::Dial(*order)))?;
                }
                Output::Event(event) => self.tell(entry.at, What::Said(Said::Event(*event)))?,
                // An event speaks of it, too.
                Output::Cancel(_) | Output::HangUp { .. } | _ => {}
            }
        }
        Ok(())
    }

    /// Plays it again, as long as all before came out the same.
    fn again(&mut self, entry: &Entry, index: usize) -> Result<(), E> {
        if self.differs.is_some() {
            return Ok(());
        }
        let Some(replay) = &mut self.replay else {
            return Ok(());
        };
        let Some(step) = replay.next() else {
            return Ok(());
        };
        if !step.is_the_same() {
            let line = line_of(self.recording, index);
            self.differs = Some(line);
            return self.tell(entry.at, What::Differs { line, step: &step });
        }
        let plan = match replay.machine().status() {
            Status::Waiting { endpoint, until } => Some((endpoint, until)),
            Status::Idle
            | Status::Dialing { .. }
            | Status::Connected { .. }
            | Status::Paused
            | Status::Starved
            | Status::Closed(_)
            | _ => None,
        };
        if plan == self.plan {
            return Ok(());
        }
        self.plan = plan;
        let wait = plan.filter(|(_, until)| *until > entry.at);
        let why = wait.map(|plan| why::wait(replay.machine(), self.recording, entry, plan));
        match why {
            Some(why) => self.tell(entry.at, What::Wait(why)),
            None => Ok(()),
        }
    }

    fn tell(&mut self, at: Time, what: What<'_>) -> Result<(), E> {
        (self.tell)(&Told {
            at,
            names: &self.cast,
            what,
        })
    }

    /// What is told of an input that no event speaks of.
    fn of_input(&self, input: &Input, at: Time) -> Option<What<'static>> {
        Some(match *input {
            Input::Start => What::Command("connect".to_string()),
            Input::Drain { .. } => What::Command("drain".to_string()),
            Input::Reconnect(Whither::Any) => What::Command("reconnect".to_string()),
            Input::Reconnect(Whither::Other) => What::Command("reconnect-elsewhere".to_string()),
            Input::Reconnect(Whither::This(id)) => {
                What::Command(format!("reconnect {}", self.name(id)))
            }
            Input::Pause => What::Command("pause".to_string()),
            Input::Resume => What::Command("network-back".to_string()),
            Input::Change(Change::Off(id)) => What::Command(format!("off {}", self.name(id))),
            Input::Change(Change::On(id)) => What::Command(format!("on {}", self.name(id))),
            Input::Close => What::Command("close".to_string()),
            Input::Change(Change::Add(traits)) => What::Added(traits.id()),
            Input::Change(Change::Remove(id)) => What::Removed(id),
            Input::Held { attempt } => What::Held(self.dial(attempt)?),
            Input::Begun { attempt } => What::Begun(self.dial(attempt)?),
            Input::Learned { attempt, security } => {
                let dial = self.dial(attempt)?;
                What::Learned(dial.endpoint, dial.route, security)
            }
            Input::Lost { verdict, .. } if verdict != Verdict::AsPolicy => What::Verdict(verdict),
            Input::Rests { endpoint, until } => What::Rests(endpoint, until.since(at)),
            Input::Recovered { endpoint } => What::Recovered(endpoint),
            // Events speak of these; time is no news.
            Input::Connected { .. } | Input::Failed { .. } | Input::Lost { .. } => return None,
            Input::Wake | _ => return None,
        })
    }

    fn name(&self, id: EndpointId) -> String {
        let known = self.recording.endpoint(id);
        known.map_or_else(|| id.to_string(), |known| known.name.clone())
    }

    /// A dial of this record, or one that was in flight when it began.
    fn dial(&self, attempt: AttemptId) -> Option<DialOrder> {
        let known = self.dials.get(&attempt).copied();
        known.or_else(|| self.replay.as_ref()?.machine().order(attempt))
    }
}

/// The line of the file on which this input stands.
fn line_of(recording: &Recording, index: usize) -> usize {
    1 + recording.endpoints().count() + usize::from(recording.dropped() > 0) + index + 1
}

/// The names of a record.
#[derive(Clone, Copy, Debug)]
struct Cast<'a>(&'a Recording);

impl Names for Cast<'_> {
    fn name(&self, _: usize, endpoint: EndpointId) -> Option<&str> {
        Some(&self.0.endpoint(endpoint)?.name)
    }

    fn routes(&self, _: usize, endpoint: EndpointId) -> &[String] {
        let known = self.0.endpoint(endpoint);
        known.map_or(&[][..], |known| &known.routes)
    }

    fn clients(&self) -> usize {
        1
    }
}
