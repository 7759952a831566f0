//! Asks the laws of a policy, in random worlds; what breaks one is a scenario that can be played.

mod generate;

use std::time::Duration;

use failover_core::endpoint::Security;
use failover_core::machine::Status;
use failover_core::policy::{Backoff, Policy, Ratio, Seed};
use failover_core::testing::laws::{self, Violation};
use failover_core::time::Time;

use self::generate::Draft;
use crate::scenario::Scenario;
use crate::simulate;
use crate::timeline::short;

/// The most things that may happen in one world.
const MOST: u64 = 50_000;

/// What to ask, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Verify {
    /// In how many worlds.
    pub worlds: u32,
    /// The seed of the first; each further one has the next.
    pub seed: u64,
    /// An outage of this length must be survived.
    pub survive: Option<Duration>,
}

/// What was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// Every law holds.
    Holds {
        /// How many steps of the machine were watched.
        steps: usize,
    },
    /// One does not.
    Broken {
        /// Which, and what was seen.
        violation: Violation,
        /// The world in which it happens, as a scenario; nothing where a law of the waits alone is
        /// broken.
        scenario: Option<String>,
    },
}

impl Verify {
    /// Asks the laws of this policy.
    #[must_use]
    pub fn run(&self, policy: &Policy) -> Verdict {
        if let Err(violation) = waits(policy) {
            return Verdict::Broken {
                violation,
                scenario: None,
            };
        }
        if let Some(outage) = self.survive
            && let Some(broken) = survives(policy, outage)
        {
            return broken;
        }
        let mut steps = 0;
        for world in 0..self.worlds {
            let seed = self.seed.wrapping_add(u64::from(world));
            let draft = Draft::random(policy, seed);
            match holds(&draft) {
                Ok(more) => steps += more,
                Err(violation) => return broken(draft, violation),
            }
        }
        Verdict::Holds { steps }
    }
}

/// The laws of the waits alone: total, within their bounds, growing to the cap.
fn waits(policy: &Policy) -> Result<(), Violation> {
    let pace = policy.pace();
    laws::l01_total(|n| pace.backoff.wait(n, pace.cap))?;
    if !matches!(
        pace.backoff,
        Backoff::Constant(_) | Backoff::Decorrelated { .. }
    ) && !matches!(pace.backoff, Backoff::Exponential { factor, .. } if factor == Ratio::ONE)
    {
        laws::l04_growth(|n| pace.backoff.wait(n, pace.cap), pace.cap)?;
    }
    for security in [Security::Plain, Security::Tls] {
        let drawn: Vec<Duration> = policy.waits(Seed::new(1), security).take(200).collect();
        let nth = |n: u32| {
            let last = drawn.len().saturating_sub(1);
            let at = usize::try_from(n.saturating_sub(1)).unwrap_or(last);
            drawn.get(at.min(last)).copied().unwrap_or_default()
        };
        laws::l02_bounds(nth, pace.min, pace.cap)?;
    }
    Ok(())
}

/// How many steps were watched, if every law holds.
fn holds(draft: &Draft) -> Result<usize, Violation> {
    let Ok(scenario) = Scenario::parse("generated", &draft.text()) else {
        return Ok(0);
    };
    let trace = simulate::trace_of(&scenario, 0, MOST);
    for (_, law) in laws::ALL {
        law(&trace)?;
    }
    let whole = trace.steps.len() < usize::try_from(MOST).unwrap_or(usize::MAX) / 2;
    if whole && draft.heals() {
        laws::l17_recovery(&trace, Time::ZERO + draft.healed())?;
    }
    Ok(trace.steps.len())
}

/// What is not needed for the violation is left out of its world.
fn broken(mut draft: Draft, mut violation: Violation) -> Verdict {
    let mut at = 0;
    while at < draft.len() {
        let smaller = draft.without(at);
        match holds(&smaller) {
            Err(again) if again.law == violation.law => {
                draft = smaller;
                violation = again;
            }
            Ok(_) | Err(_) => at += 1,
        }
    }
    Verdict::Broken {
        scenario: Some(draft.described(&violation.to_string())),
        violation,
    }
}

/// An outage of all servers: is the client connected again afterwards?
fn survives(policy: &Policy, outage: Duration) -> Option<Verdict> {
    let draft = Draft::outage(policy, outage);
    let scenario = Scenario::parse("generated", &draft.text()).ok()?;
    let trace = simulate::trace(&scenario, 0);
    let last = trace.steps.last()?;
    if let Status::Connected { .. } = last.status {
        return None;
    }
    let what = if let Status::Closed(reason) = last.status {
        format!("closed: {reason}")
    } else {
        format!("not connected again: {:?}", last.status)
    };
    let what = format!("an outage of {} is not survived: {what}", short(outage));
    Some(Verdict::Broken {
        scenario: Some(draft.described(&what)),
        violation: Violation {
            law: "L17",
            at: trace.steps.len() - 1,
            what,
        },
    })
}
