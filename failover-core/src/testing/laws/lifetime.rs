//! That a life goes on, and that it ends: L11, L14, L17.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::attempt::AttemptId;
use crate::endpoint::{EndpointId, Traits};
use crate::machine::{Event, Input, Output, Status};
use crate::policy::{CustomDelay, MIN_REDIAL, Policy};
use crate::sim::Trace;
use crate::testing::laws::ledger::Ledger;
use crate::testing::laws::{Violation, violation};
use crate::time::Time;

/// **L11 close** is accepted in every state, is prompt and final: exactly one `Closed`, last; and
/// nothing is left behind: every dial was told as ended, every connection was hung up or lost.
///
/// # Errors
/// The step that did not close, or put something out after it.
pub fn l11_close(trace: &Trace) -> Result<(), Violation> {
    let mut ledger = Ledger::new(trace);
    let mut closed = false;
    for (at, step) in trace.steps.iter().enumerate() {
        ledger.hear(step);
        for output in &step.outputs {
            if closed {
                let what = format!("after Closed comes {output:?}");
                return violation("L11", at, what);
            }
            closed = matches!(output, Output::Event(Event::Closed(_)));
            ledger.take(output);
        }
        if step.input == Input::Close && !closed {
            return violation("L11", at, "close was asked for, and Closed was not told");
        }
        if closed != matches!(step.status, Status::Closed(_)) {
            let what = format!("Closed was told: {closed}; the status is {:?}", step.status);
            return violation("L11", at, what);
        }
        if closed && !(ledger.in_flight.is_empty() && ledger.open.is_empty()) {
            let what = format!(
                "left behind: dials {:?}, connections {:?}",
                ledger.in_flight.keys(),
                ledger.open
            );
            return violation("L11", at, what);
        }
    }
    Ok(())
}

/// **L14 progress.** A dial is in flight, or a wake-up is due, or the state is connected, closed,
/// idle, paused, or starved, each of which names the input that ends it. A wake-up that was due and
/// came is not due again at the same time: standing time never spins. A dial in flight always has
/// its deadline as a wake-up, once it has begun.
///
/// # Errors
/// The first step after which nothing will ever happen, or after which it spins.
pub fn l14_progress(trace: &Trace) -> Result<(), Violation> {
    let mut ledger = Ledger::new(trace);
    for (at, step) in trace.steps.iter().enumerate() {
        ledger.hear(step);
        for output in &step.outputs {
            ledger.take(output);
        }
        let alive = match step.status {
            Status::Dialing { endpoint } => ledger
                .in_flight
                .values()
                .any(|order| order.endpoint == endpoint),
            // A wait of more than 584 years, which a policy or a hook may ask for, never ends.
            Status::Waiting { until, .. } => step.wake.is_some() || until == Time::MAX,
            Status::Connected { .. } => ledger.main.is_some(),
            Status::Idle | Status::Paused | Status::Starved | Status::Closed(_) => true,
        };
        if !alive {
            let what = format!("{:?}, but nothing will ever happen", step.status);
            return violation("L14", at, what);
        }
        if matches!(step.status, Status::Starved | Status::Paused) && !ledger.in_flight.is_empty() {
            let what = format!(
                "{:?} with {} dials in flight",
                step.status,
                ledger.in_flight.len()
            );
            return violation("L14", at, what);
        }
        let begun = |(id, _): &(&AttemptId, _)| !ledger.held.contains_key(id);
        let begun = ledger.in_flight.iter().filter(begun);
        let deadline = begun.map(|(_, order)| order.deadline).min();
        if deadline.is_some_and(|at| at < Time::MAX && step.wake.is_none_or(|wake| wake > at)) {
            return violation(
                "L14",
                at,
                "a dial is in flight and its deadline wakes nobody",
            );
        }
        if step.input == Input::Wake && step.wake.is_some_and(|wake| wake <= ledger.now) {
            return violation(
                "L14",
                at,
                "it was woken and wants to be woken at the same time",
            );
        }
    }
    Ok(())
}

/// **L17 safety, then liveness.** Once the world heals, a ready endpoint is connected within the
/// bound that the policy states: [`Policy::recovery_bound`](crate::policy::Policy::recovery_bound),
/// counted from the time at which the first endpoint is ready.
///
/// `healed` is when the world healed; `trace` must go on until at least the bound. It does not apply
/// to a machine that is closed, starved, or paused, or whose hook may exceed the cap.
///
/// # Errors
/// How the machine ended, if it is not connected.
pub fn l17_recovery(trace: &Trace, healed: Time) -> Result<(), Violation> {
    let mut ledger = Ledger::new(trace);
    let mut rested = false;
    let mut connected_at = None;
    let before = trace.timed().take_while(|(now, _)| *now <= healed).last();
    if let Some((_, step)) = before
        && let Status::Connected { .. } = step.status
    {
        return Ok(());
    }
    let mut told: BTreeMap<EndpointId, Time> = BTreeMap::new();
    for step in &trace.steps {
        ledger.hear(step);
        match step.input {
            Input::Rests { endpoint, until } => {
                let until = until.max(told.get(&endpoint).copied().unwrap_or(until));
                told.insert(endpoint, until);
            }
            Input::Recovered { endpoint } => drop(told.remove(&endpoint)),
            Input::Start
            | Input::Wake
            | Input::Connected { .. }
            | Input::Held { .. }
            | Input::Begun { .. }
            | Input::Failed { .. }
            | Input::Learned { .. }
            | Input::Lost { .. }
            | Input::Drain { .. }
            | Input::Reconnect(_)
            | Input::Pause
            | Input::Resume
            | Input::Change(_)
            | Input::Close => {}
        }
        rested |= ledger.rests.values().any(|rests| *rests);
        for output in &step.outputs {
            ledger.take(output);
        }
        connected_at = match step.status {
            Status::Connected { .. } if ledger.now >= healed => connected_at.or(Some(ledger.now)),
            Status::Connected { .. }
            | Status::Idle
            | Status::Waiting { .. }
            | Status::Dialing { .. }
            | Status::Paused
            | Status::Starved
            | Status::Closed(_) => connected_at,
        };
    }
    if trace.policy.pace().custom == CustomDelay::Unbounded {
        return Ok(());
    }
    let bound = recovery_bound(&trace.policy, &trace.endpoints)
        + if rested {
            longest_rest(&trace.policy)
        } else {
            Duration::ZERO
        }
        .max(
            told.values()
                .max()
                .map_or(Duration::ZERO, |at| at.since(healed)),
        );
    let last = trace.steps.last().map(|step| step.status);
    match connected_at {
        None if !matches!(
            last,
            Some(Status::Waiting { .. } | Status::Dialing { .. } | Status::Connected { .. })
        ) =>
        {
            Ok(())
        }
        Some(at) if at <= healed + bound => Ok(()),
        Some(at) => {
            let took = at.since(healed);
            let what = format!("connected {took:?} after the world healed, the bound is {bound:?}");
            violation("L17", trace.steps.len(), what)
        }
        None => {
            let what = format!("not connected, although the world healed at {healed:?}");
            violation("L17", trace.steps.len(), what)
        }
    }
}

/// **L17, while connected.** Once the world has healed, what the policy wants beside the connection
/// is there, too: with failback, the connection is to the most preferred tier; and as many spares
/// stand as the policy asks for and the list has servers.
///
/// `trace` must go on after the healing for the probes and waits that this takes: failback may go up
/// one tier at a time, each with probes and a time to settle of its own. It does not apply
/// to one that does not end connected, to policies with a greatest age, which leave every connection
/// again, or that retire endpoints, nor to a hook that may exceed the cap.
///
/// # Errors
/// What is missing at the end.
pub fn l17_standing(trace: &Trace) -> Result<(), Violation> {
    let policy = &*trace.policy;
    let standing = policy.standing();
    let limits = [policy.limits(), policy.start_up_limits()];
    let retires = |limits| policy.retires_after(limits).is_some();
    if standing.max_age.is_some()
        || policy.pace().custom == CustomDelay::Unbounded
        || limits.into_iter().any(retires)
    {
        return Ok(());
    }
    let mut ledger = Ledger::new(trace);
    for step in &trace.steps {
        ledger.hear(step);
        for output in &step.outputs {
            ledger.take(output);
        }
    }
    let Some((link, _)) = ledger.main else {
        return Ok(());
    };
    let all = ledger.traits.values();
    let there: Vec<&Traits> = all.filter(|t| !ledger.gone.contains(&t.id())).collect();
    let tier = ledger.traits.get(&link.endpoint).map(|t| t.in_tier());
    let best = there.iter().map(|t| t.in_tier()).min();
    if standing.failback.is_some() && best.is_some() && best < tier {
        let what = format!("connected in tier {tier:?} in the end, there is {best:?}");
        return violation("L17", trace.steps.len(), what);
    }
    let others = there.iter().filter(|t| t.id() != link.endpoint);
    let wanted = others.count().min(standing.spares.into());
    let spares = ledger.open.len().saturating_sub(1);
    if spares != wanted {
        let what = format!("{spares} spares in the end, {wanted} should stand");
        return violation("L17", trace.steps.len(), what);
    }
    Ok(())
}

/// What the policy promises for these endpoints, without their rests.
pub(in crate::testing) fn recovery_bound(policy: &Policy, endpoints: &[Traits]) -> Duration {
    let n = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
    // The policy counts its own deadline; an endpoint may take longer.
    let own = endpoints.iter().filter_map(|traits| traits.own_deadline());
    let longer = own
        .max()
        .unwrap_or_default()
        .saturating_sub(policy.deadline());
    let dials = n.saturating_mul(2).saturating_add(1);
    policy
        .recovery_bound(n)
        .saturating_add(longer.saturating_mul(dials))
}

/// The longest that any endpoint may rest.
pub(in crate::testing) fn longest_rest(policy: &Policy) -> Duration {
    let own = policy.classes().iter().filter_map(|own| own.health);
    own.fold(policy.health().longest_rest(), |longest, health| {
        longest.max(health.longest_rest())
    })
}

/// What the probes of failback take, and the waits between dials for spares. Failback may go up one
/// tier at a time: the servers of a better one may have had their turn or rest while those of the
/// next one prove good.
pub(in crate::testing) fn standing_bound(policy: &Policy, endpoints: &[Traits]) -> Duration {
    let standing = policy.standing();
    let probes = standing.failback.map_or(Duration::ZERO, |failback| {
        let probes = u32::from(failback.good_probes).saturating_add(2);
        let every = failback.every.saturating_add(MIN_REDIAL);
        every.saturating_mul(probes).saturating_add(failback.settle)
    });
    let tiers: BTreeSet<u8> = endpoints.iter().map(|traits| traits.in_tier()).collect();
    let moves = u32::try_from(tiers.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let spares = policy.pace().cap.saturating_mul(standing.spares.into());
    probes.saturating_mul(moves).saturating_add(spares)
}
