//! When it gives up: L7.

use std::collections::{BTreeMap, BTreeSet};

use crate::endpoint::EndpointId;
use crate::machine::{Answer, Change, CloseReason, Event, Input, Output, Status, Whither, Why};
use crate::policy::{Choice, Limit, Limits};
use crate::sim::{Asked, Step, Trace};
use crate::testing::laws::ledger::{Fact, Ledger};
use crate::testing::laws::retired::Retired;
use crate::testing::laws::window::Window;
use crate::testing::laws::{Violation, violation};

/// **L7 limits.** A limit counts failed turns (or completed sweeps, or elapsed time) since its last
/// reset, the first turn included; `AtMost(n)` acts when the n-th is booked. The per-endpoint limit
/// *retires* that endpoint for this outage; all retired = closed. Only a connection that proved
/// stable resets. `AtMost(0)` after connection = a loss closes.
///
/// Turns are recounted from the dials and their outcomes; those of a resume window do not count. Of
/// sweeps it is seen that no endpoint has more turns than sweeps are allowed.
///
/// # Errors
/// The step that went on although a limit was reached, or gave up although none was.
pub fn l07_limits(trace: &Trace) -> Result<(), Violation> {
    let mut count = Count::new(trace);
    for (at, step) in trace.steps.iter().enumerate() {
        count.step(at, step)?;
    }
    Ok(())
}

struct Count<'a> {
    ledger: Ledger<'a>,
    turns: u32,
    retired: Retired,
    /// Turns of each endpoint in this outage.
    visits: BTreeMap<EndpointId, u32>,
    /// Whose next dial goes on with a turn.
    goes_on: BTreeSet<EndpointId>,
    window: Window,
    forced: Forced,
}

/// Whether somebody else than the order decided whom to dial.
#[derive(PartialEq, Eq)]
enum Forced {
    Never,
    Once,
}

impl<'a> Count<'a> {
    fn new(trace: &'a Trace) -> Self {
        Self {
            ledger: Ledger::new(trace),
            turns: 0,
            retired: Retired::default(),
            visits: BTreeMap::new(),
            goes_on: BTreeSet::new(),
            window: Window::default(),
            forced: Forced::Never,
        }
    }

    fn limits(&self) -> Limits {
        self.ledger.limits()
    }

    fn step(&mut self, at: usize, step: &Step) -> Result<(), Violation> {
        if let Input::Change(Change::On(id)) = step.input
            && self.ledger.gone.contains(&id)
        {
            self.retired.forget(id);
            self.visits.remove(&id);
        }
        if let (Input::Recovered { endpoint }, Answer::Taken) = (step.input, step.answer)
            && let Some(visits) = self.visits.get_mut(&endpoint)
        {
            // It may be dialled although it had its turn.
            *visits = visits.saturating_sub(1);
        }
        let chosen = |asked: &Asked| matches!(asked, Asked::Choice(_, choice) if *choice != Choice::AsSuggested);
        if matches!(
            step.input,
            Input::Reconnect(Whither::This(_) | Whither::Other)
        ) || step.asked.iter().any(chosen)
        {
            self.forced = Forced::Once;
        }
        self.ledger.hear(step);
        let mut booked = false;
        for output in &step.outputs {
            if let Output::Dial(order) = output {
                self.dial(at, order.endpoint)?;
            }
            if let Output::Event(Event::Disconnected {
                why: Why::Left(_), ..
            }) = output
            {
                // Leaving asks no limit.
                self.forced = Forced::Once;
            }
            let fact = self.window.within(self.ledger.take(output), step);
            booked |= self.book(fact);
            if let Output::Event(event) = output {
                self.window.hear(event, step, &self.ledger, &self.retired);
            }
            booked |= matches!(
                output,
                Output::Event(Event::Disconnected {
                    why: Why::Lost(_),
                    ..
                })
            );
        }
        self.check(at, step, booked)
    }

    fn dial(&mut self, at: usize, endpoint: EndpointId) -> Result<(), Violation> {
        if self.is_retired(endpoint) {
            return violation("L7", at, format!("{endpoint} is dialled, which is retired"));
        }
        if self.ledger.main.is_some() {
            return Ok(());
        }
        let gone = self.ledger.now.since(self.ledger.outage_since);
        if let Some(most) = self.limits().elapsed
            && gone >= most
        {
            let what = format!("a dial {gone:?} after the outage began, at most {most:?}");
            return violation("L7", at, what);
        }
        if !self.goes_on.remove(&endpoint) && !self.window.is_of(endpoint) {
            let visits = self.visits.get(&endpoint).copied().unwrap_or(0) + 1;
            self.visits.insert(endpoint, visits);
            if let Limit::AtMost(most) = self.limits().sweeps
                && visits > most
                && self.forced == Forced::Never
            {
                let what = format!("{endpoint} has turn {visits}, at most {most} sweeps");
                return violation("L7", at, what);
            }
        }
        Ok(())
    }

    fn book(&mut self, fact: Fact) -> bool {
        self.retired.book(&fact, &self.ledger);
        match fact {
            Fact::TurnFailed(endpoint) => {
                self.turns += 1;
                self.goes_on.remove(&endpoint);
                true
            }
            Fact::RouteFailed(endpoint) => {
                self.goes_on.insert(endpoint);
                false
            }
            Fact::Stable(_) => {
                self.turns = 0;
                self.visits.clear();
                self.goes_on.clear();
                false
            }
            Fact::SideFailed | Fact::Cancelled | Fact::Other => false,
        }
    }

    fn is_retired(&self, endpoint: EndpointId) -> bool {
        self.retired.is(endpoint, &self.ledger)
    }

    fn all_retired(&self) -> bool {
        let mut there = self
            .ledger
            .traits
            .keys()
            .filter(|id| self.ledger.is_admitted(**id))
            .peekable();
        there.peek().is_some() && there.all(|id| self.is_retired(*id))
    }

    fn check(&self, at: usize, step: &Step, booked: bool) -> Result<(), Violation> {
        let limits = self.limits();
        if let Status::Closed(reason) = step.status {
            let before = format!("closed with {reason:?}, ");
            let turns = self.turns;
            return match reason {
                CloseReason::Turns(most) if turns < most => {
                    violation("L7", at, before + &format!("after {turns} failed turns"))
                }
                CloseReason::PerEndpoint(most) if most > 0 && !self.all_retired() => {
                    violation("L7", at, before + "and not every endpoint is retired")
                }
                CloseReason::Elapsed(most)
                    if self.ledger.now.since(self.ledger.outage_since) < most =>
                {
                    violation("L7", at, before + "too early")
                }
                CloseReason::Turns(_)
                | CloseReason::PerEndpoint(_)
                | CloseReason::Sweeps(_)
                | CloseReason::Elapsed(_)
                | CloseReason::ByUser
                | CloseReason::Fatal(_)
                | CloseReason::AllRefused
                | CloseReason::NobodyReady => Ok(()),
            };
        }
        let goes_on = matches!(step.status, Status::Waiting { .. } | Status::Dialing { .. });
        if !(booked && goes_on) {
            return Ok(());
        }
        if limits.turns.is_reached(self.turns) {
            let what = format!(
                "{} failed turns, and it goes on: {:?}",
                self.turns, limits.turns
            );
            return violation("L7", at, what);
        }
        if limits.per_endpoint == Limit::AtMost(0) || self.all_retired() {
            return violation("L7", at, "every endpoint is retired, and it goes on");
        }
        if limits.sweeps == Limit::AtMost(0) {
            return violation("L7", at, "no sweep is allowed, and it goes on after a loss");
        }
        Ok(())
    }
}
