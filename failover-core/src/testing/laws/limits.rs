//! When it gives up: L7.

use std::collections::{BTreeMap, BTreeSet};

use crate::endpoint::EndpointId;
use crate::machine::{Change, CloseReason, Event, Input, Output, Status, Whither, Why};
use crate::policy::{Choice, Limit, Limits};
use crate::sim::{Asked, Step, Trace};
use crate::testing::laws::ledger::{Fact, Ledger};
use crate::testing::laws::{Violation, violation};

/// **L7 limits.** A limit counts failed turns (or completed sweeps, or elapsed time) since its last
/// reset, the first turn included; `AtMost(n)` acts when the n-th is booked. The per-endpoint limit
/// *retires* that endpoint for this outage; all retired = closed. Only a connection that proved
/// stable resets. `AtMost(0)` after connection = a loss closes.
///
/// Turns are recounted from the dials and their outcomes. Of sweeps it is seen that no endpoint has
/// more turns than sweeps are allowed. A policy with a resume window, in which failures do not
/// count, is seen only from the side of time.
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
    /// Failed turns in a row, and the outage in which it was retired.
    endpoints: BTreeMap<EndpointId, (u32, u32)>,
    /// Turns of each endpoint in this outage.
    visits: BTreeMap<EndpointId, u32>,
    /// Whose next dial goes on with a turn.
    goes_on: BTreeSet<EndpointId>,
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
            endpoints: BTreeMap::new(),
            visits: BTreeMap::new(),
            goes_on: BTreeSet::new(),
            forced: Forced::Never,
        }
    }

    fn limits(&self) -> Limits {
        match self.ledger.was_connected {
            true => self.ledger.policy.limits(),
            false => self.ledger.policy.start_up_limits(),
        }
    }

    fn counts_turns(&self) -> bool {
        self.ledger.policy.resume().is_none()
    }

    fn step(&mut self, at: usize, step: &Step) -> Result<(), Violation> {
        if let Input::Change(Change::On(id)) = step.input
            && self.ledger.gone.contains(&id)
        {
            self.endpoints.remove(&id);
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
            let fact = self.ledger.take(output);
            booked |= self.book(fact);
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
        if self.is_retired(endpoint) && self.counts_turns() {
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
        if !self.goes_on.remove(&endpoint) {
            let visits = self.visits.get(&endpoint).copied().unwrap_or(0) + 1;
            self.visits.insert(endpoint, visits);
            if let Limit::AtMost(most) = self.limits().sweeps
                && visits > most
                && self.forced == Forced::Never
                && self.counts_turns()
            {
                let what = format!("{endpoint} has turn {visits}, at most {most} sweeps");
                return violation("L7", at, what);
            }
        }
        Ok(())
    }

    fn book(&mut self, fact: Fact) -> bool {
        match fact {
            Fact::TurnFailed(endpoint) => {
                self.turns += 1;
                let class = self
                    .ledger
                    .traits
                    .get(&endpoint)
                    .map_or(0, |t| t.in_class());
                let limit = self.ledger.policy.per_endpoint_in(class, self.limits());
                let outage = self.ledger.outage;
                let (failures, retired) = self.endpoints.entry(endpoint).or_default();
                if *retired != 0 && *retired != outage {
                    (*failures, *retired) = (0, 0);
                }
                *failures += 1;
                if limit.is_reached(*failures) {
                    *retired = outage;
                }
                self.goes_on.remove(&endpoint);
                true
            }
            Fact::RouteFailed(endpoint) => {
                self.goes_on.insert(endpoint);
                false
            }
            Fact::Stable(endpoint) => {
                self.turns = 0;
                self.endpoints.remove(&endpoint);
                self.visits.clear();
                self.goes_on.clear();
                false
            }
            Fact::SideFailed | Fact::Cancelled | Fact::Other => false,
        }
    }

    fn is_retired(&self, endpoint: EndpointId) -> bool {
        let retired = self.endpoints.get(&endpoint).map(|(_, retired)| *retired);
        retired == Some(self.ledger.outage)
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
                CloseReason::Turns(most) if self.counts_turns() && turns < most => {
                    violation("L7", at, before + &format!("after {turns} failed turns"))
                }
                CloseReason::PerEndpoint(most)
                    if self.counts_turns() && most > 0 && !self.all_retired() =>
                {
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
        if !(booked && goes_on && self.counts_turns()) {
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
