//! That a sweep visits everybody: the other half of L9.

use std::collections::BTreeSet;

use crate::endpoint::EndpointId;
use crate::machine::{Answer, Event, Input, Output, Status, Verdict, Whither, Why};
use crate::policy::{Choice, Lost, Policy, Walk};
use crate::sim::{Asked, Step, Trace};
use crate::testing::laws::ledger::{Fact, Ledger};
use crate::testing::laws::retired::Retired;
use crate::testing::laws::window::Window;
use crate::testing::laws::{Violation, violation};

/// **L9 sweep.** For listed, rotate and shuffled orders, without live changes, a sweep visits every
/// eligible endpoint exactly once: nobody has a second turn while somebody eligible waits for the
/// first. Where the loss of a stable connection counts as that server's turn, it does here.
///
/// It applies until somebody else than the order decides whom to dial (a hook, a forced reconnect to
/// a certain or another endpoint, a change of the list). One that others connected to is dialled
/// although it had its turn; so is the lost server in its resume window, again and again, until the
/// session is told to be gone. Those that are retired, or may not be dialled at start-up, are not
/// eligible.
///
/// # Errors
/// The dial of an endpoint that had its turn while another waited for its own.
pub fn l09_sweep(trace: &Trace) -> Result<(), Violation> {
    if !applies(&trace.policy) {
        return Ok(());
    }
    let mut sweep = Sweep {
        ledger: Ledger::new(trace),
        retired: Retired::default(),
        taken: BTreeSet::new(),
        goes_on: BTreeSet::new(),
        window: Window::default(),
        planned: None,
        recovered: None,
    };
    for (at, step) in trace.steps.iter().enumerate() {
        if is_overruled(step) {
            return Ok(());
        }
        sweep.step(at, step)?;
    }
    Ok(())
}

fn planned(status: Status) -> Option<EndpointId> {
    match status {
        Status::Waiting { endpoint, .. } => Some(endpoint),
        Status::Idle
        | Status::Dialing { .. }
        | Status::Connected { .. }
        | Status::Paused
        | Status::Starved
        | Status::Closed(_) => None,
    }
}

fn applies(policy: &Policy) -> bool {
    match policy.order().walk {
        Walk::Listed | Walk::Rotate | Walk::Shuffled(_) => true,
        Walk::FirstReady | Walk::Weighted | Walk::LeastFailed => false,
    }
}

fn is_overruled(step: &Step) -> bool {
    let chosen =
        |asked: &Asked| matches!(asked, Asked::Choice(_, choice) if *choice != Choice::AsSuggested);
    let told = matches!(
        step.input,
        Input::Change(_) | Input::Reconnect(Whither::This(_) | Whither::Other)
    );
    (told && step.answer == Answer::Taken) || step.asked.iter().any(chosen)
}

struct Sweep<'a> {
    ledger: Ledger<'a>,
    retired: Retired,
    /// Who had a turn in this sweep.
    taken: BTreeSet<EndpointId>,
    /// Whose next dial goes on with a turn.
    goes_on: BTreeSet<EndpointId>,
    window: Window,
    /// Whom it waits to dial.
    planned: Option<EndpointId>,
    /// Whom it waits to dial because others connected to it.
    recovered: Option<EndpointId>,
}

impl Sweep<'_> {
    fn step(&mut self, at: usize, step: &Step) -> Result<(), Violation> {
        self.ledger.hear(step);
        if step.input == Input::Pause {
            self.goes_on.clear();
        }
        if let (Input::Rests { endpoint, .. }, Answer::Taken) = (step.input, step.answer)
            && self.planned == Some(endpoint)
        {
            // Another is picked, or the same for another turn.
            self.planned = None;
            self.goes_on.remove(&endpoint);
        }
        if let (Input::Recovered { endpoint }, Answer::Taken) = (step.input, step.answer) {
            // One that was planned all the same is no exception.
            self.recovered = Some(endpoint).filter(|_| self.planned != Some(endpoint));
        }
        let verdict = match step.input {
            Input::Lost { verdict, .. } => verdict,
            Input::Start
            | Input::Wake
            | Input::Connected { .. }
            | Input::Failed { .. }
            | Input::Learned { .. }
            | Input::Drain { .. }
            | Input::Reconnect(_)
            | Input::Pause
            | Input::Resume
            | Input::Change(_)
            | Input::Held { .. }
            | Input::Begun { .. }
            | Input::Rests { .. }
            | Input::Recovered { .. }
            | Input::Close => Verdict::Next,
        };
        for output in &step.outputs {
            if let Output::Dial(order) = output {
                self.dial(at, order.endpoint)?;
            }
            let fact = self.window.within(self.ledger.take(output), step);
            self.retired.book(&fact, &self.ledger);
            match fact {
                Fact::RouteFailed(endpoint) => {
                    self.goes_on.insert(endpoint);
                }
                Fact::Stable(_) => self.taken.clear(),
                Fact::TurnFailed(_) | Fact::SideFailed | Fact::Cancelled | Fact::Other => {}
            }
            if let Output::Event(event) = output {
                if *event == Event::SessionGone {
                    // What was planned in the window is decided anew, and its turn is over.
                    self.planned = None;
                    self.goes_on.clear();
                }
                self.hear(event, verdict);
                self.window.hear(event, step, &self.ledger, &self.retired);
            }
        }
        if let Input::Lost { .. } = step.input
            && self.ledger.main.is_none()
        {
            // Dials on the side that became the client's own are turns.
            let own = self.ledger.in_flight.values().map(|order| order.endpoint);
            self.taken.extend(own);
        }
        self.plan(at, step)
    }

    /// Whom it waits to dial from now on: its sweep begins when that is decided.
    fn plan(&mut self, at: usize, step: &Step) -> Result<(), Violation> {
        let before = core::mem::replace(&mut self.planned, planned(step.status));
        self.recovered = self.recovered.filter(|id| self.planned == Some(*id));
        if before == self.planned {
            return Ok(());
        }
        if let Some(before) = before {
            // Its turn is over, if another is dialled instead.
            self.goes_on.remove(&before);
        }
        match self.planned {
            Some(next) if self.taken.contains(&next) && !self.is_exempt(next) => {
                self.begin_sweep(at, next)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn dial(&mut self, at: usize, endpoint: EndpointId) -> Result<(), Violation> {
        let was_planned = self.planned == Some(endpoint);
        let exempt = was_planned || self.ledger.main.is_some() || self.is_exempt(endpoint);
        self.goes_on.remove(&endpoint);
        if !exempt && self.taken.contains(&endpoint) {
            self.begin_sweep(at, endpoint)?;
        }
        self.taken.insert(endpoint);
        Ok(())
    }

    /// Whether its dial goes on with a turn, or is not of the order.
    fn is_exempt(&self, endpoint: EndpointId) -> bool {
        self.goes_on.contains(&endpoint)
            || self.recovered == Some(endpoint)
            || self.window.is_of(endpoint)
    }

    /// It has another turn: everybody else must have had one.
    fn begin_sweep(&mut self, at: usize, endpoint: EndpointId) -> Result<(), Violation> {
        let mut all = self.ledger.traits.keys();
        let waits = |id: &&EndpointId| {
            !self.taken.contains(*id)
                && self.ledger.is_admitted(**id)
                && !self.ledger.rests(**id)
                && !self.retired.is(**id, &self.ledger)
        };
        if let Some(other) = all.find(waits) {
            let what = format!("{endpoint} has a second turn in a sweep, {other} had none");
            return violation("L9", at, what);
        }
        self.taken.clear();
        Ok(())
    }

    /// Who had a turn without a dial of its own; to be called when the ledger knows.
    fn hear(&mut self, event: &Event, verdict: Verdict) {
        match *event {
            Event::Disconnected { link, why, .. } => {
                let turn_taken = match (why, verdict) {
                    (Why::Lost(_), Verdict::AsPolicy | Verdict::Stop) => {
                        self.ledger.policy.order().lost == Lost::TurnTaken
                    }
                    (Why::Lost(_), Verdict::Retry) => false,
                    (Why::Lost(_), Verdict::Next | Verdict::Suspend | Verdict::Remove)
                    | (Why::Left(_) | Why::ByUser, _) => true,
                };
                // After an unstable connection the sweep goes on; its dial was its turn.
                if self.taken.is_empty() && turn_taken {
                    self.taken.insert(link.endpoint);
                }
            }
            Event::Moved { to, from, .. } => {
                self.taken.insert(to.endpoint);
                if self.ledger.policy.order().lost == Lost::TurnTaken {
                    self.taken.insert(from);
                }
            }
            Event::Connected(_) | Event::Reconnected(_) | Event::FailedOver { .. } => {
                self.goes_on.clear();
            }
            Event::Attempt(_)
            | Event::SessionGone
            | Event::Switching { .. }
            | Event::Draining { .. }
            | Event::Suspended { .. }
            | Event::SpareReady(_)
            | Event::SpareLost { .. }
            | Event::Starved
            | Event::Closed(_) => {}
        }
    }
}
