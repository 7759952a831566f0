//! Who may be dialled, and how often: L8 and L9.

use std::collections::BTreeMap;

use crate::endpoint::EndpointId;
use crate::machine::{Event, Input, Output, Whither};
use crate::policy::{MIN_REDIAL, NobodyReady};
use crate::sim::Trace;
use crate::testing::laws::ledger::Ledger;
use crate::testing::laws::{Violation, violation};
use crate::time::Time;

/// **L8 rate.** The hard floor (1 ms, no opt-out) is the least distance between two dials of the
/// *same* endpoint, and the number of all dials in any window is at most
/// endpoints × (window / 1 ms + 1). It holds under accept-and-drop, hooks that return zero and
/// forced reconnects.
///
/// # Errors
/// The first step that dials too soon.
pub fn l08_rate(trace: &Trace) -> Result<(), Violation> {
    let mut last: BTreeMap<EndpointId, Time> = BTreeMap::new();
    let mut dials: Vec<Time> = Vec::new();
    for (at, (now, step)) in trace.timed().enumerate() {
        for output in &step.outputs {
            let Output::Dial(order) = output else {
                continue;
            };
            dials.push(now);
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
/// endpoint is never dialled; a suspended one not before its time, except as the least bad, or when
/// the user forces a reconnect to it. (The other half is [`l09_sweep`](super::l09_sweep).)
///
/// # Errors
/// The first dial of an endpoint that was not eligible.
pub fn l09_eligibility(trace: &Trace) -> Result<(), Violation> {
    let mut ledger = Ledger::new(trace);
    let mut suspended: BTreeMap<EndpointId, Time> = BTreeMap::new();
    let mut forced = Vec::new();
    for (at, step) in trace.steps.iter().enumerate() {
        ledger.hear(step);
        if let Input::Reconnect(Whither::This(id)) = step.input {
            forced.push(id);
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
                }
                Output::Event(Event::Suspended { endpoint, until }) => {
                    suspended.insert(*endpoint, *until);
                }
                Output::Event(Event::Attempt(ended)) if ended.outcome.is_ok() => {
                    suspended.remove(&ended.order.endpoint);
                }
                Output::Event(_) | Output::Cancel(_) | Output::HangUp { .. } => {}
            }
            ledger.take(output);
        }
        if let Input::Change(crate::machine::Change::On(id)) = step.input {
            suspended.remove(&id);
        }
    }
    Ok(())
}
