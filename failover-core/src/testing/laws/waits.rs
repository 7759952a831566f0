//! The waits of a machine: L2, L6, L13.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::endpoint::{EndpointId, Security};
use crate::machine::{Event, Input, Output, Planned, Why};
use crate::policy::{
    Backoff, Choice, CustomDelay, DelayAnswer, DelayAsked, Every, Jitter, MIN_REDIAL, Policy,
};
use crate::sim::{Asked, Step, Trace};
use crate::testing::laws::ledger::{Fact, Ledger};
use crate::testing::laws::{Violation, violation};
use crate::time::{Time, nanos};

/// **L2 bounds**, of a machine. Each *wait* that the pace asks for: min ≤ wait ≤ cap, *after*
/// jitter, also the first and the flat ones. (A hop to another endpoint in the same sweep may be 0,
/// or what is left of the hard floor.) Endpoints that rest may take longer, and a wait that a choice
/// hook names is not the pace's.
///
/// # Errors
/// The first wait that does not.
pub fn l02_waits(trace: &Trace) -> Result<(), Violation> {
    let pace = trace.policy.pace();
    each_planned(trace, |at, step, ledger, planned| {
        for asked in &step.asked {
            if let Asked::Delay(asked, _) = asked
                && !(pace.min..=pace.cap).contains(&asked.suggested)
            {
                let what = format!("the policy suggests {:?}", asked.suggested);
                return violation("L2", at, what);
            }
        }
        let Some((planned, after)) = planned else {
            return Ok(());
        };
        let chosen = |asked: &Asked| matches!(asked, Asked::Choice(_, Choice::EndpointAfter(..)));
        if pace.custom == CustomDelay::Unbounded
            || ledger.rests(planned.endpoint)
            || step.asked.iter().any(chosen)
        {
            return Ok(());
        }
        let hop = planned.wait <= MIN_REDIAL;
        if planned.wait > pace.cap && !hop {
            let what = format!("the wait is {:?}, the cap is {:?}", planned.wait, pace.cap);
            return violation("L2", at, what);
        }
        let may_hop = match (pace.every, after) {
            // Beside rivals in flight the next one goes at once; so does the next route of a rival
            // that failed before.
            (Every::Attempt, After::Turn) => {
                trace.policy.race().most() > 1 || !ledger.in_flight.is_empty()
            }
            (Every::Attempt | Every::Sweep | Every::Return, _) => true,
            // It began with its failure, and has been running since.
            (Every::Endpoint, _) => return Ok(()),
        };
        if planned.wait < pace.min
            && !(hop && may_hop)
            && !is_endless(ledger, planned)
            && trace.policy.resume().is_none()
        {
            let what = format!(
                "the wait is {:?}, the least is {:?}",
                planned.wait, pace.min
            );
            return violation("L2", at, what);
        }
        Ok(())
    })
}

/// **L6 TLS.** The TLS jitter applies iff the endpoint about to be dialled is TLS.
///
/// It shows with a [`Backoff::Constant`], and best where the ranges of the two jitters are
/// disjoint; with other laws nothing is seen.
///
/// # Errors
/// The first wait outside the range of the jitter that belongs to its dial.
pub fn l06_tls(trace: &Trace) -> Result<(), Violation> {
    let policy = &*trace.policy;
    let pace = policy.pace();
    let Backoff::Constant(base) = pace.backoff else {
        return Ok(());
    };
    if pace.custom != CustomDelay::Off || policy.resume().is_some() || pace.every == Every::Endpoint
    {
        return Ok(());
    }
    each_planned(trace, |at, _, ledger, planned| {
        let Some((planned, after)) = planned else {
            return Ok(());
        };
        let is_free = planned.wait <= MIN_REDIAL || is_endless(ledger, planned);
        if is_free || ledger.rests(planned.endpoint) {
            return Ok(());
        }
        let security = ledger
            .traits
            .get(&planned.endpoint)
            .map_or(Security::Plain, |traits| traits.security(planned.route));
        let (low, high) = range(policy, security, base);
        let (first_low, first_high) = range(policy, security, pace.first);
        let wait = nanos(planned.wait);
        let first = after == After::Loss && (first_low..=first_high).contains(&wait);
        if !first && !(low..=high).contains(&wait) {
            let what = format!(
                "{:?} before a dial that is {security:?}: {low}..{high} ns is its range",
                planned.wait
            );
            return violation("L6", at, what);
        }
        Ok(())
    })
}

/// Whether time ends before this wait does, which cuts it short.
fn is_endless(ledger: &Ledger<'_>, planned: Planned) -> bool {
    ledger.now + planned.wait == Time::MAX
}

/// Where a wait of `base` may lie after its jitter, recounted from the jitter's description.
pub(super) fn range(policy: &Policy, security: Security, base: Duration) -> (u64, u64) {
    let (min, cap) = (nanos(policy.pace().min), nanos(policy.pace().cap));
    let base = nanos(base).min(cap);
    let (low, high) = match policy.jitter(security) {
        Jitter::None => (base, base),
        Jitter::UpTo(width) => {
            let low = base.min(cap.saturating_sub(nanos(width))).max(min);
            (low, low.saturating_add(nanos(width)))
        }
        Jitter::Proportional(p) => {
            let share = u128::from(p.ppm());
            let center = u128::from(base).min(u128::from(cap) * 1_000_000 / (1_000_000 + share));
            let half = center * share / 1_000_000 + 1;
            let at_most = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
            (at_most(center.saturating_sub(half)), at_most(center + half))
        }
        Jitter::Full => (0, base),
        Jitter::Equal => (base / 2, base),
    };
    (low.clamp(min, cap), high.clamp(min, cap))
}

/// **L13 custom delay.** Obeyed within the policy's min and cap; a policy may lift these two for it,
/// never L8.
///
/// # Errors
/// The first dial that came before the time that the hook gave it, or the first plan that waits
/// longer.
pub fn l13_custom(trace: &Trace) -> Result<(), Violation> {
    let mut ledger = Ledger::new(trace);
    let mut given: BTreeMap<EndpointId, (Time, Duration)> = BTreeMap::new();
    for (at, step) in trace.steps.iter().enumerate() {
        ledger.hear(step);
        let overruled = match step.input {
            Input::Reconnect(_)
            | Input::Resume
            | Input::Change(_)
            | Input::Rests { .. }
            | Input::Recovered { .. } => true,
            Input::Start
            | Input::Wake
            | Input::Connected { .. }
            | Input::Failed { .. }
            | Input::Learned { .. }
            | Input::Lost { .. }
            | Input::Drain { .. }
            | Input::Pause
            | Input::Held { .. }
            | Input::Begun { .. }
            | Input::Close => step.outputs.iter().any(is_left),
        };
        for asked in &step.asked {
            if let Asked::Delay(asked, answer) = asked {
                let least = least(&trace.policy, asked, *answer);
                given.insert(asked.endpoint, (ledger.now, least));
                // The first wait after a loss, or in a resume window, is asked of nobody.
                let first = if matches!(step.input, Input::Lost { .. }) {
                    let policy = &trace.policy;
                    let resume = policy
                        .resume()
                        .map_or(Duration::ZERO, |resume| resume.first);
                    let longest = |wait| range(policy, asked.security, wait).1;
                    longest(policy.pace().first).max(longest(resume))
                } else {
                    0
                };
                let longest = longest(&trace.policy, asked, *answer)
                    .max(Duration::from_nanos(first))
                    .max(MIN_REDIAL);
                if let crate::machine::Status::Waiting { endpoint, until } = step.status
                    && !overruled
                    && endpoint == asked.endpoint
                    && !ledger.rests(endpoint)
                    && until.since(ledger.now) > longest
                {
                    let wait = until.since(ledger.now);
                    let what = format!("the wait is {wait:?}, the hook said {longest:?}");
                    return violation("L13", at, what);
                }
            }
        }
        if overruled {
            given.clear();
        }
        for output in &step.outputs {
            if let Output::Dial(order) = output
                && let Some((since, least)) = given.remove(&order.endpoint)
                && ledger.now.since(since) < least
                && since + least < Time::MAX
            {
                let wait = ledger.now.since(since);
                let what = format!("dialled {wait:?} after the hook said {least:?}");
                return violation("L13", at, what);
            }
            if let Output::Event(Event::Attempt(ended)) = output
                && ended.outcome.is_ok()
            {
                given.clear();
            }
            ledger.take(output);
        }
    }
    Ok(())
}

fn is_left(output: &Output) -> bool {
    matches!(
        output,
        Output::Event(Event::Disconnected {
            why: Why::Left(_),
            ..
        })
    )
}

fn least(policy: &Policy, asked: &DelayAsked, answer: DelayAnswer) -> Duration {
    let pace = policy.pace();
    match (answer, pace.custom) {
        (DelayAnswer::AsSuggested, _) => asked.suggested,
        (DelayAnswer::Exactly(delay), CustomDelay::Unbounded) => delay,
        (DelayAnswer::Exactly(delay), _) => delay.clamp(pace.min, pace.cap),
        (DelayAnswer::PlusJitter(_), CustomDelay::Unbounded) => Duration::ZERO,
        (DelayAnswer::PlusJitter(_), _) => pace.min,
    }
}

fn longest(policy: &Policy, asked: &DelayAsked, answer: DelayAnswer) -> Duration {
    let pace = policy.pace();
    match (answer, pace.custom) {
        (DelayAnswer::PlusJitter(delay), CustomDelay::Unbounded) => delay.max(pace.cap),
        (DelayAnswer::PlusJitter(_), _) => pace.cap,
        (DelayAnswer::AsSuggested | DelayAnswer::Exactly(_), _) => least(policy, asked, answer),
    }
}

/// What a plan follows on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// A failed turn.
    Turn,
    /// A failed route, or a dial on the side.
    Route,
    /// A lost connection.
    Loss,
}

/// Calls `check` for each step, with what each event in it says to come next.
fn each_planned(
    trace: &Trace,
    mut check: impl FnMut(usize, &Step, &Ledger<'_>, Option<(Planned, After)>) -> Result<(), Violation>,
) -> Result<(), Violation> {
    let mut ledger = Ledger::new(trace);
    // Whose next route the floor holds up while a rival is in flight: its turn goes on.
    let mut held_up: BTreeSet<EndpointId> = BTreeSet::new();
    for (at, step) in trace.steps.iter().enumerate() {
        ledger.hear(step);
        check(at, step, &ledger, None)?;
        if ledger.in_flight.is_empty() {
            held_up.clear();
        }
        for output in &step.outputs {
            let fact = ledger.take(output);
            match (&fact, output) {
                (Fact::RouteFailed(endpoint), _) => drop(held_up.insert(*endpoint)),
                (_, Output::Dial(order)) => drop(held_up.remove(&order.endpoint)),
                (_, Output::Event(_) | Output::Cancel(_) | Output::HangUp { .. }) => {}
            }
            let planned = match output {
                Output::Event(Event::Attempt(ended)) => ended.next.map(|next| match fact {
                    Fact::TurnFailed(_) if held_up.contains(&next.endpoint) => (next, After::Route),
                    Fact::TurnFailed(_) => (next, After::Turn),
                    Fact::RouteFailed(_)
                    | Fact::SideFailed
                    | Fact::Cancelled
                    | Fact::Stable(_)
                    | Fact::Other => (next, After::Route),
                }),
                Output::Event(Event::Disconnected { next, .. }) => {
                    next.map(|next| (next, After::Loss))
                }
                Output::Event(_) | Output::Dial(_) | Output::Cancel(_) | Output::HangUp { .. } => {
                    None
                }
            };
            if planned.is_some() {
                check(at, step, &ledger, planned)?;
            }
        }
    }
    Ok(())
}
