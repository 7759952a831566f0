//! What is risky in a policy.

use std::time::Duration;

use failover_core::endpoint::Security;
use failover_core::policy::{Backoff, Jitter, Limit, Limits, NobodyReady, Policy, Reaction};
use failover_core::preset::Preset;

use super::measure::{Measured, refused};
use crate::timeline::short;

/// A cap above this finds a server that has returned too late.
const LATE: Duration = Duration::from_secs(30);
/// A dead peer should be noticed within this.
const ALIVE: Duration = Duration::from_secs(60);
/// A dial to a mute server should not take longer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Waits that stay below this are a hot loop.
const HOT: Duration = Duration::from_millis(50);

/// Something risky.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Risk {
    /// A word for programs: stable, lower case.
    pub name: &'static str,
    /// What it is, and what would be better.
    pub what: String,
}

/// What is risky in a policy, measured with so many endpoints.
#[must_use]
pub fn risks(preset: &Preset, measured: &Measured, endpoints: usize) -> Vec<Risk> {
    let policy = &preset.policy;
    let mut risks = Vec::new();
    let mut add = |name, what: String| risks.push(Risk { name, what });
    if let Some(what) = no_jitter(policy) {
        add("no-jitter", what);
    }
    if policy.stable_after().is_zero() {
        add(
            "no-flap-guard",
            "stable_after is 0: a server that accepts and drops resets every counter and every wait \
             each time; give a connection some seconds to prove stable"
                .to_string(),
        );
    }
    if let Some(what) = ends(policy) {
        add("ends", what);
    }
    let cap = policy.pace().cap;
    if cap > LATE && !matches!(policy.pace().backoff, Backoff::Constant(wait) if wait <= LATE) {
        add(
            "late",
            format!(
                "cap is {}: a server that has returned is found up to that late; {} is plenty",
                short(cap),
                short(LATE)
            ),
        );
    }
    if policy.deadline() > DEADLINE {
        let deadline = short(policy.deadline());
        add(
            "long-deadline",
            format!("deadline is {deadline}: each mute server costs that"),
        );
    }
    if let Some(what) = hot(measured, endpoints) {
        add("hot", what);
    }
    if policy.nobody_ready() == NobodyReady::Fail {
        add(
            "fails-when-all-rest",
            "nobody_ready is fail: it closes as soon as every endpoint rests".to_string(),
        );
    }
    liveness(preset, &mut add);
    risks
}

/// Whether it goes round and round without waiting.
fn hot(measured: &Measured, endpoints: usize) -> Option<String> {
    let attempts = measured.delays.len();
    let sweep = measured.delays.iter().rev().take(endpoints);
    let longest = sweep.map(|wait| wait.most).max()?;
    (attempts >= 10 && longest < HOT).then(|| {
        format!(
            "after {attempts} attempts no wait of a sweep is longer than {}: a hot loop; let the \
             waits grow",
            short(longest)
        )
    })
}

fn no_jitter(policy: &Policy) -> Option<String> {
    let pace = policy.pace();
    if pace.backoff.draws() {
        return None;
    }
    if matches!(pace.backoff, Backoff::Constant(Duration::ZERO)) && pace.min.is_zero() {
        return None;
    }
    let none = |security| policy.jitter(security) == Jitter::None;
    let which = match (none(Security::Plain), none(Security::Tls)) {
        (true, true) => "jitter and tls_jitter are",
        (true, false) => "jitter is",
        (false, true) => "tls_jitter is",
        (false, false) => return None,
    };
    Some(format!(
        "{which} none: all clients that lost one server come back together; full is the usual choice"
    ))
}

/// Whether it may end by itself.
fn ends(policy: &Policy) -> Option<String> {
    let Limits {
        turns,
        per_endpoint,
        sweeps,
        elapsed,
        ..
    } = policy.limits();
    let mut by = Vec::new();
    for (name, limit) in [
        ("turns", turns),
        ("per_endpoint", per_endpoint),
        ("sweeps", sweeps),
    ] {
        if let Limit::AtMost(most) = limit {
            by.push(format!("limits.{name} = {most}"));
        }
    }
    if let Some(elapsed) = elapsed {
        by.push(format!("limits.elapsed = {}", short(elapsed)));
    }
    if policy.reactions().to(&refused()) == Reaction::Stop {
        by.push("a server that is down ends it".to_string());
    }
    (!by.is_empty()).then(|| {
        format!(
            "{}: after that nothing connects again by itself, and whoever does not watch for the end \
             will not notice; without limits it goes on",
            by.join(", ")
        )
    })
}

fn liveness(preset: &Preset, add: &mut impl FnMut(&'static str, String)) {
    let bound = preset.link.heartbeat.map(|heartbeat| heartbeat.bound());
    match bound {
        Some(Some(bound)) if bound > ALIVE => add(
            "slow-liveness",
            format!(
                "a peer that has fallen silent is noticed after up to {}; halve the interval until it \
                 is below a minute",
                short(bound)
            ),
        ),
        Some(Some(_)) => {}
        Some(None) | None => add(
            "no-liveness",
            "nothing notices a peer that has fallen silent: give the application a heartbeat"
                .to_string(),
        ),
    }
}
