//! Plays a [`Scenario`] on a virtual clock with the real machine, and tells what happened.
//!
//! `docs/scenario.md` describes the lines.

mod line;
mod plot;
mod summary;

use std::sync::Arc;

use failover_core::machine::Output;
use failover_core::sim::{Fleet, Moment, Step, Trace};
use failover_core::testing::laws::{self, Violation};
use failover_core::time::Time;
use serde_json::{Value, json};

use self::line::Cast;
pub(crate) use self::line::Names;
pub use self::line::{Line, Said};
pub use self::plot::plot;
pub use self::summary::Summary;
use crate::scenario::{Scenario, VERSION};
use crate::timeline::millis_at;

/// The most things that may happen in one scenario.
pub const MOST: u64 = 200_000_000;

/// Plays a scenario; each line is told as it happens, in order of time.
///
/// # Errors
/// What `tell` answered: it ends the play.
pub fn play<E>(
    scenario: &Scenario,
    tell: &mut dyn FnMut(&Line<'_>) -> Result<(), E>,
) -> Result<Summary, E> {
    let mut fleet = scenario.fleet();
    let mut teller = Teller {
        scenario,
        tell,
        acts: 0,
        commands: 0,
        failed: None,
    };
    let mut summary = Summary::new(scenario);
    let done = fleet.run_until(scenario.until, MOST, &mut |fleet, moment| {
        summary.note(fleet, moment);
        teller.moment(fleet, moment);
    });
    teller.world(scenario.until);
    if let Some(error) = teller.failed {
        return Err(error);
    }
    summary.finish(&fleet, done);
    Ok(summary)
}

/// The first line of a trace: what is played.
#[must_use]
pub fn header(scenario: &Scenario) -> Value {
    let names = scenario.endpoints.iter().map(|named| named.name.as_str());
    json!({
        "at_ms": 0.0,
        "event": "scenario",
        "version": VERSION,
        "about": scenario.about,
        "preset": scenario.preset,
        "seed": scenario.seed.get(),
        "clients": scenario.clients,
        "until_ms": millis_at(scenario.until),
        "endpoints": names.collect::<Vec<_>>(),
    })
}

/// What is played, for people.
#[must_use]
pub fn heading(scenario: &Scenario) -> String {
    let about = match scenario.about.as_str() {
        "" => String::new(),
        about => format!("{about}\n"),
    };
    let clients = match scenario.clients {
        1 => "one client".to_string(),
        n => format!("{n} clients"),
    };
    let policy = scenario.preset.as_deref().unwrap_or("default");
    let seed = scenario.seed.get();
    format!("{about}{clients}, policy {policy}, seed {seed}")
}

/// The whole life of one client of a scenario.
#[must_use]
pub fn trace(scenario: &Scenario, client: usize) -> Trace {
    trace_of(scenario, client, MOST).0
}

/// The life of one client of a scenario, until so many things happened; and how many did.
pub(crate) fn trace_of(scenario: &Scenario, client: usize, most: u64) -> (Trace, u64) {
    let mut fleet = scenario.fleet();
    let mut steps = Vec::new();
    let things = fleet.run_until(scenario.until, most, &mut |_, moment| {
        if moment.client == client {
            steps.push(Step {
                at: moment.at,
                input: moment.input,
                answer: moment.answer,
                asked: moment.asked.to_vec(),
                outputs: moment.outputs.to_vec(),
                wake: moment.wake,
                status: moment.status,
            });
        }
    });
    let trace = Trace {
        policy: Arc::new(scenario.policy.clone()),
        endpoints: fleet.endpoints().clone(),
        seed: fleet.seed(client).unwrap_or(scenario.seed),
        steps,
    };
    (trace, things)
}

/// Asks every law about one client of a scenario.
///
/// # Errors
/// The first law that does not hold.
pub fn check(scenario: &Scenario, client: usize) -> Result<(), Violation> {
    let trace = trace(scenario, client);
    for (_, law) in laws::ALL {
        law(&trace)?;
    }
    Ok(())
}

/// Puts what the world does between what happens to the clients.
struct Teller<'a, E> {
    scenario: &'a Scenario,
    tell: &'a mut dyn FnMut(&Line<'_>) -> Result<(), E>,
    acts: usize,
    commands: usize,
    failed: Option<E>,
}

impl<E> Teller<'_, E> {
    fn moment(&mut self, fleet: &Fleet, moment: &Moment<'_>) {
        if self.failed.is_some() {
            return;
        }
        self.world(moment.at);
        let cast = Cast {
            scenario: self.scenario,
            fleet,
        };
        for output in moment.outputs {
            let said = match output {
                Output::Dial(order) => Said::Dial(*order),
                Output::Event(event) => Said::Event(*event),
                Output::Cancel(_) | Output::HangUp { .. } | _ => continue,
            };
            self.line(&Line {
                at: moment.at,
                client: Some(moment.client),
                names: Some(&cast),
                said,
            });
        }
    }

    /// Tells what the world did up to this time.
    fn world(&mut self, until: Time) {
        let scenario = self.scenario;
        loop {
            let act = scenario.acts.get(self.acts);
            let act = act.filter(|act| act.at <= until);
            let command = scenario.commands.get(self.commands);
            let command = command.filter(|command| command.at <= until);
            let at = match (act, command) {
                (None, None) => return,
                (Some(act), None) => Ok(act),
                (None, Some(command)) => Err(command),
                (Some(act), Some(command)) if act.at <= command.at => Ok(act),
                (Some(_), Some(command)) => Err(command),
            };
            let (at, said) = match at {
                Ok(act) => {
                    self.acts += 1;
                    let Some(words) = &act.words else { continue };
                    (act.at, Said::World(words))
                }
                Err(command) => {
                    self.commands += 1;
                    (command.at, Said::Command(&command.words))
                }
            };
            self.line(&Line {
                at,
                client: None,
                names: None,
                said,
            });
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        if self.failed.is_none() {
            self.failed = (self.tell)(line).err();
        }
    }
}
