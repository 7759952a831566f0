//! How a client goes back to a preferred tier: L10.

use crate::attempt::Role;
use crate::endpoint::EndpointId;
use crate::machine::{AttemptEnded, Event, Move, Output, Why};
use crate::sim::Trace;
use crate::testing::laws::ledger::Ledger;
use crate::testing::laws::{Violation, violation};
use crate::time::Time;

/// **L10 failback.** While connected, failback moves only upward, and only after its probes
/// succeeded: as many of one endpoint in a row as the policy asks, the first of them long enough
/// ago. Probes go upward only, too. Without failback in the policy there is neither.
///
/// # Errors
/// The probe or move that was not in order.
pub fn l10_failback(trace: &Trace) -> Result<(), Violation> {
    let mut ledger = Ledger::new(trace);
    let mut good = None;
    for (at, step) in trace.steps.iter().enumerate() {
        ledger.hear(step);
        for output in &step.outputs {
            let checked = match output {
                Output::Dial(order) if order.role == Role::Probe => {
                    is_upward(&ledger, order.endpoint)
                }
                Output::Event(event) => hear(&ledger, &mut good, event),
                Output::Dial(_) | Output::Cancel(_) | Output::HangUp { .. } => Ok(()),
            };
            if let Err(what) = checked {
                return violation("L10", at, what);
            }
            ledger.take(output);
        }
    }
    Ok(())
}

/// Good probes of one endpoint in a row, and when the first of them was.
#[derive(Clone, Copy)]
struct Good {
    endpoint: EndpointId,
    probes: u32,
    since: Time,
}

fn hear(ledger: &Ledger<'_>, good: &mut Option<Good>, event: &Event) -> Result<(), String> {
    match *event {
        Event::Attempt(AttemptEnded { order, outcome, .. }) if order.role == Role::Probe => {
            *good = match (outcome, *good) {
                (Ok(()), Some(before)) if before.endpoint == order.endpoint => Some(Good {
                    probes: before.probes + 1,
                    ..before
                }),
                (Ok(()), _) => Some(Good {
                    endpoint: order.endpoint,
                    probes: 1,
                    since: ledger.now,
                }),
                (Err(_), _) => None,
            };
            Ok(())
        }
        Event::Moved {
            to,
            why: Move::Failback,
            ..
        } => {
            is_upward(ledger, to.endpoint)?;
            is_due(ledger, good.take(), to.endpoint)
        }
        Event::Disconnected {
            why: Why::Left(Move::Failback),
            ..
        } => Err("failback breaks a connection before the next stands".into()),
        Event::Moved { .. } | Event::Disconnected { .. } => {
            *good = None;
            Ok(())
        }
        Event::Attempt(_)
        | Event::Connected(_)
        | Event::Reconnected(_)
        | Event::FailedOver { .. }
        | Event::SessionGone
        | Event::Switching { .. }
        | Event::Draining { .. }
        | Event::Suspended { .. }
        | Event::SpareReady(_)
        | Event::SpareLost { .. }
        | Event::Starved
        | Event::Closed(_) => Ok(()),
    }
}

fn is_upward(ledger: &Ledger<'_>, to: EndpointId) -> Result<(), String> {
    let tier = |id| ledger.traits.get(&id).map(|traits| traits.in_tier());
    let from = ledger.main.map(|(link, _)| link.endpoint);
    match (tier(to), from.and_then(tier)) {
        (Some(to), Some(from)) if to < from => Ok(()),
        (above, below) => Err(format!(
            "to {to} of tier {above:?}, while connected in tier {below:?}"
        )),
    }
}

fn is_due(ledger: &Ledger<'_>, good: Option<Good>, to: EndpointId) -> Result<(), String> {
    let Some(failback) = ledger.policy.standing().failback else {
        return Err("failback, which the policy does not ask for".into());
    };
    let good = good.filter(|good| good.endpoint == to);
    let (probes, settled) = good.map_or((0, None), |good| {
        (good.probes, Some(ledger.now.since(good.since)))
    });
    if probes < u32::from(failback.good_probes) || settled.is_none_or(|at| at < failback.settle) {
        return Err(format!(
            "failback to {to} after {probes} good probes, the first {settled:?} ago"
        ));
    }
    Ok(())
}
