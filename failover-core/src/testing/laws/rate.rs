//! Who may be dialled, and how often: L8 and L9.

use std::collections::{BTreeMap, BTreeSet};

use crate::attempt::AttemptId;
use crate::endpoint::EndpointId;
use crate::machine::{Answer, Event, Input, Output, Whither};
use crate::policy::{MIN_REDIAL, NobodyReady};
use crate::sim::Trace;
use crate::testing::laws::ledger::{Fact, Ledger};
use crate::testing::laws::retired::Retired;
use crate::testing::laws::window::Window;
use crate::testing::laws::{Violation, violation};
use crate::time::Time;

/// **L8 rate.** The hard floor (1 ms, no opt-out) is the least distance between two dials of the
/// *same* endpoint, and the number of all dials in any window is at most
/// endpoints × (window / 1 ms + 1). A dial that was held is made when it begins. It holds under accept-and-drop, hooks that return zero and
/// forced reconnects.
///
/// # Errors
/// The first step that dials too soon.
pub fn l08_rate(trace: &Trace) -> Result<(), Violation> {
    let mut last: BTreeMap<EndpointId, Time> = BTreeMap::new();
    let mut dials: Vec<Time> = Vec::new();
    let mut orders: BTreeMap<AttemptId, EndpointId> = BTreeMap::new();
    for (at, (now, step)) in trace.timed().enumerate() {
        // A dial that was held is made when it begins.
        if let (Input::Begun { attempt }, Answer::Taken) = (step.input, step.answer)
            && let Some(endpoint) = orders.get(&attempt)
        {
            last.insert(*endpoint, now);
        }
        for output in &step.outputs {
            let Output::Dial(order) = output else {
                continue;
            };
            dials.push(now);
            orders.insert(order.attempt, order.endpoint);
            if let Some(before) = last.insert(order.endpoint, now)
                && now.since(before) < MIN_REDIAL
            {
                let distance = now.since(before);
                let what = format!(
                    "{} is dialled {distance:?} after its last dial",
                    order.endpoint
                );
                return violation("L8", at, what);
            }
            // Windows that end here, each twice as long as the one before.
            for back in (0..)
                .map(|n| (1_usize << n) - 1)
                .take_while(|&b| b < dials.len())
            {
                let first = dials[dials.len() - 1 - back];
                let floors = now.since(first).as_nanos() / MIN_REDIAL.as_nanos() + 1;
                let most = floors.saturating_mul(last.len() as u128);
                if back as u128 + 1 > most {
                    let what = format!("{} dials since {first:?}, at most {most}", back + 1);
                    return violation("L8", at, what);
                }
            }
        }
    }
    Ok(())
}

/// **L9 eligibility**, as far as a trace without the list's order shows it. A removed or off
/// endpoint is never dialled; a suspended one, or one that others found to be bad, not before its
/// time, except as the least bad, or when the user forces a reconnect to it. What others found
/// changes nothing for a turn that has begun, and nothing for the lost server in its resume window.
/// (The other half is [`l09_sweep`](super::l09_sweep).)
///
/// # Errors
/// The first dial of an endpoint that was not eligible.
pub fn l09_eligibility(trace: &Trace) -> Result<(), Violation> {
    let mut ledger = Ledger::new(trace);
    let mut retired = Retired::default();
    let mut window = Window::default();
    let mut suspended: BTreeMap<EndpointId, Time> = BTreeMap::new();
    // The same for those that others found to be bad.
    let mut told: BTreeMap<EndpointId, Time> = BTreeMap::new();
    let mut goes_on: BTreeSet<EndpointId> = BTreeSet::new();
    let mut forced = Vec::new();
    for (at, step) in trace.steps.iter().enumerate() {
        ledger.hear(step);
        match (step.input, step.answer) {
            (Input::Reconnect(Whither::This(id)), _) => forced.push(id),
            (Input::Rests { endpoint, until }, Answer::Taken) => {
                let rest = told.entry(endpoint).or_default();
                *rest = until.max(*rest);
            }
            (Input::Recovered { endpoint }, Answer::Taken) => {
                suspended.remove(&endpoint);
                told.remove(&endpoint);
            }
            _ => {}
        }
        for output in &step.outputs {
            match output {
                Output::Dial(order) if ledger.gone.contains(&order.endpoint) => {
                    let what = format!("{} is dialled, which is off or removed", order.endpoint);
                    return violation("L9", at, what);
                }
                Output::Dial(order) => {
                    let id = order.endpoint;
                    let rests = suspended.get(&id).is_some_and(|until| *until > ledger.now);
                    let may = trace.policy.nobody_ready() == NobodyReady::LeastBad
                        || forced.contains(&id);
                    if rests && !may {
                        let what = format!("{id} is dialled, which is suspended");
                        return violation("L9", at, what);
                    }
                    let rests = told.get(&id).is_some_and(|until| *until > ledger.now);
                    let may = may || goes_on.remove(&id) || window.is_of(id);
                    if rests && !may {
                        let what = format!("{id} is dialled, which others found to be bad");
                        return violation("L9", at, what);
                    }
                }
                Output::Event(Event::Suspended { endpoint, until }) => {
                    suspended.insert(*endpoint, *until);
                }
                Output::Event(Event::Attempt(ended)) if ended.outcome.is_ok() => {
                    suspended.remove(&ended.order.endpoint);
                    told.remove(&ended.order.endpoint);
                }
                Output::Event(_) | Output::Cancel(_) | Output::HangUp { .. } => {}
            }
            let fact = window.within(ledger.take(output), step);
            retired.book(&fact, &ledger);
            if let Output::Event(event) = output {
                window.hear(event, step, &ledger, &retired);
            }
            match fact {
                Fact::RouteFailed(id) => drop(goes_on.insert(id)),
                // Retired, it comes back without its rest.
                Fact::TurnFailed(id) if retired.is(id, &ledger) => drop(told.remove(&id)),
                Fact::TurnFailed(_)
                | Fact::SideFailed
                | Fact::Cancelled
                | Fact::Stable(_)
                | Fact::Other => {}
            }
        }
        if let Input::Change(crate::machine::Change::On(id)) = step.input {
            suspended.remove(&id);
            told.remove(&id);
        }
    }
    Ok(())
}
