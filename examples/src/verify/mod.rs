//! Asks the laws of a policy, in random worlds; what breaks one is a scenario that can be played.

mod generate;

use std::time::Duration;

use failover_core::endpoint::Security;
use failover_core::machine::Status;
use failover_core::policy::{Backoff, Policy, Ratio, Seed};
use failover_core::testing::laws::{self, Violation};
use failover_core::time::Time;
use thiserror::Error;

use self::generate::Draft;
use crate::scenario::{Scenario, ScenarioError};
use crate::simulate;
use crate::timeline::short;

/// The most things that may happen in one world.
const MOST: u64 = 50_000;

/// By this wait a law has reached its cap.
const AT_CAP: u32 = 100;

/// What to ask, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Verify {
    /// In how many worlds.
    pub worlds: u32,
    /// The seed of the first; each further one has the next.
    pub seed: u64,
    /// An outage of this length must be survived; at most [`LONGEST`](Self::LONGEST).
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
        /// How many worlds were left before their end, because too much happened in them: there, it
        /// was not asked whether the client recovers.
        cut: u32,
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

/// Why nothing can be said of a policy: a defect here, never the policy's.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The policy cannot be written as TOML.
    #[error("the policy cannot be written as TOML: {0}")]
    Unwritten(#[from] toml::ser::Error),
    /// A generated world cannot be read.
    #[error("a generated world cannot be read: {error}\n{text}")]
    Unreadable {
        /// Why.
        error: ScenarioError,
        /// Its text.
        text: String,
    },
}

impl Verify {
    /// The longest outage that can be asked for: 30 days.
    pub const LONGEST: Duration = generate::LONGEST;

    /// Asks the laws of this policy.
    ///
    /// # Errors
    /// When a world cannot be made of the policy. No law was asked there.
    pub fn run(&self, policy: &Policy) -> Result<Verdict, VerifyError> {
        if let Err(violation) = waits(policy) {
            return Ok(Verdict::Broken {
                violation,
                scenario: None,
            });
        }
        if let Some(outage) = self.survive
            && let Some(broken) = survives(policy, outage)?
        {
            return Ok(broken);
        }
        let (mut steps, mut cut) = (0, 0);
        for world in 0..self.worlds {
            let seed = self.seed.wrapping_add(u64::from(world));
            let draft = Draft::random(policy, seed)?;
            let watched = watch(&draft)?;
            if let Some(violation) = watched.violation {
                return broken(draft, violation);
            }
            steps += watched.steps;
            cut += u32::from(watched.cut);
        }
        Ok(Verdict::Holds { steps, cut })
    }
}

/// Where the spread at the cap (L3) does not hold: clients that lost the same server at the same moment come
/// back at the same moments. Not a fault of a policy that asks for no jitter, as some source systems do.
#[must_use]
pub fn in_step(policy: &Policy) -> Vec<(Security, Violation)> {
    let broken = |security| {
        let clients = |seed| {
            let mut waits = policy.waits(Seed::new(seed), security);
            let mut since = Duration::ZERO;
            move |_| {
                let wait = waits.next_wait();
                since += wait;
                // On a ladder each client has a phase of its own: its times are spread, its waits are not.
                match matches!(policy.pace().backoff, Backoff::PhaseLadder { .. }) {
                    true => since,
                    false => wait,
                }
            }
        };
        let at_cap = laws::at_attempt(AT_CAP, clients);
        let violation = laws::l03_spread(&at_cap, Duration::from_millis(1)).err()?;
        Some((security, violation))
    };
    [Security::Plain, Security::Tls]
        .into_iter()
        .filter_map(broken)
        .collect()
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

/// What was seen in one world.
struct Watched {
    steps: usize,
    cut: bool,
    violation: Option<Violation>,
}

fn watch(draft: &Draft) -> Result<Watched, VerifyError> {
    let scenario = read(draft)?;
    let (trace, things) = simulate::trace_of(&scenario, 0, MOST);
    let cut = things >= MOST;
    let all = || {
        for (_, law) in laws::ALL {
            law(&trace)?;
        }
        if !cut && draft.heals() {
            laws::l17_recovery(&trace, Time::ZERO + draft.healed())?;
        }
        Ok(())
    };
    let violation = all().err();
    Ok(Watched {
        steps: trace.steps.len(),
        cut,
        violation,
    })
}

fn read(draft: &Draft) -> Result<Scenario, VerifyError> {
    let text = draft.text();
    Scenario::parse("generated", &text).map_err(|error| VerifyError::Unreadable { error, text })
}

/// What is not needed for the violation is left out of its world.
fn broken(mut draft: Draft, mut violation: Violation) -> Result<Verdict, VerifyError> {
    let mut at = 0;
    while at < draft.len() {
        let smaller = draft.without(at);
        match watch(&smaller)?.violation {
            Some(again) if again.law == violation.law => {
                draft = smaller;
                violation = again;
            }
            Some(_) | None => at += 1,
        }
    }
    Ok(Verdict::Broken {
        scenario: Some(draft.described(&violation.to_string())),
        violation,
    })
}

/// An outage of all servers: is the client connected again afterwards?
fn survives(policy: &Policy, outage: Duration) -> Result<Option<Verdict>, VerifyError> {
    let draft = Draft::outage(policy, outage)?;
    let trace = simulate::trace(&read(&draft)?, 0);
    let what = match trace.steps.last().map(|last| last.status) {
        Some(Status::Connected { .. }) => return Ok(None),
        Some(Status::Closed(reason)) => format!("closed: {reason}"),
        Some(other) => format!("not connected again: {}", words(other)),
        None => "nothing happened".to_string(),
    };
    let what = format!("an outage of {} is not survived: {what}", short(outage));
    Ok(Some(Verdict::Broken {
        scenario: Some(draft.described(&what)),
        violation: Violation {
            law: "L17",
            at: trace.steps.len().saturating_sub(1),
            what,
        },
    }))
}

fn words(status: Status) -> &'static str {
    match status {
        Status::Idle => "it was never started",
        Status::Waiting { .. } => "it still waits before its next dial",
        Status::Dialing { .. } => "a dial is in flight",
        Status::Paused => "it is paused",
        Status::Starved => "it has no server to dial",
        Status::Connected { .. } | Status::Closed(_) | _ => "it is in another state",
    }
}
