//! What is tried: laws, how far they spread at first, where they end; how staggered a race is.

use std::time::Duration;

use failover_core::config::PolicyForm;
use failover_core::policy::{Backoff, Jitter, Policy, PolicyError, Ratio};
use failover_core::race::{Race, Stagger};
use serde::Serialize;

use super::CandidateError;
use crate::herd::Contestant;
use crate::scenario::Scenario;

/// Longest waits, in milliseconds.
const CAPS: [u64; 6] = [2_000, 5_000, 10_000, 20_000, 40_000, 80_000];
/// First spreads, in milliseconds.
const SPREADS: [u64; 7] = [100, 500, 1_000, 2_500, 5_000, 10_000, 20_000];
/// Staggers of a race of two, in milliseconds.
const STAGGERS: [u64; 3] = [100, 500, 2_000];

/// The laws in place of the scenario's, each with the keys to write into its `[policy]`.
///
/// All else is the scenario's policy: also the least wait, the first one and what waits stand before.
/// A law that the least wait forbids is left out.
///
/// # Errors
/// None can be built, or one cannot be written.
pub fn candidates(scenario: &Scenario) -> Result<Vec<(Contestant, String)>, CandidateError> {
    let mut all = Vec::new();
    let mut refused = None;
    for cap in CAPS {
        for base in SPREADS.into_iter().filter(|base| base * 2 <= cap) {
            for law in Law::ALL {
                let name = format!("{} {base}ms cap {}s", law.name(), cap / 1000);
                match law.policy(&scenario.policy, base, cap) {
                    Ok(policy) => {
                        let keys = keys(&scenario.policy, &policy)?;
                        all.push((Contestant::new(name, policy), keys));
                    }
                    Err(error) => refused = Some(error),
                }
            }
        }
    }
    match refused {
        Some(error) if all.is_empty() => Err(error.into()),
        Some(_) | None => Ok(all),
    }
}

/// The same policy with other staggers of its race: none, and some of a race of two. Nothing where a
/// client has only one server to dial.
///
/// # Errors
/// As [`candidates`].
pub fn staggered(
    scenario: &Scenario,
    contestant: &Contestant,
) -> Result<Vec<(Contestant, String)>, CandidateError> {
    let listed = scenario.endpoints.iter();
    if listed.filter(|named| named.server.configured).count() < 2 {
        return Ok(Vec::new());
    }
    let races = STAGGERS.map(|stagger| {
        let race = Race::new(2, Stagger::Fixed(Duration::from_millis(stagger)));
        (format!("race {stagger}ms"), race.unwrap_or(Race::OFF))
    });
    let off = ("no race".to_string(), Race::OFF);
    let mut all = Vec::new();
    for (words, race) in races.into_iter().chain([off]) {
        if race != contestant.policy.race() {
            let policy = contestant.policy.to_builder().race(race).build()?;
            let keys = keys(&scenario.policy, &policy)?;
            let name = format!("{} {words}", contestant.name);
            all.push((Contestant::new(name, policy), keys));
        }
    }
    Ok(all)
}

#[derive(Clone, Copy, Debug)]
enum Law {
    Ladder,
    FullJitter,
    EqualJitter,
    Decorrelated,
}

impl Law {
    const ALL: [Self; 4] = [
        Self::Ladder,
        Self::FullJitter,
        Self::EqualJitter,
        Self::Decorrelated,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Ladder => "phase ladder",
            Self::FullJitter => "full jitter",
            Self::EqualJitter => "equal jitter",
            Self::Decorrelated => "decorrelated",
        }
    }

    fn policy(self, policy: &Policy, base: u64, cap: u64) -> Result<Policy, PolicyError> {
        let base = Duration::from_millis(base);
        let factor = Ratio::TWO;
        let (backoff, jitter) = match self {
            Self::Ladder => (
                Backoff::PhaseLadder {
                    spread: base,
                    tls_spread: base,
                },
                Jitter::None,
            ),
            Self::FullJitter => (Backoff::Exponential { base, factor }, Jitter::Full),
            Self::EqualJitter => (Backoff::Exponential { base, factor }, Jitter::Equal),
            Self::Decorrelated => (Backoff::Decorrelated { base }, Jitter::None),
        };
        let mut pace = policy.pace();
        (pace.backoff, pace.cap) = (backoff, Duration::from_millis(cap));
        policy
            .to_builder()
            .pace(pace)
            .jitter(jitter)
            .tls_jitter(jitter)
            .build()
    }
}

/// The keys that make this policy of that one, from which it differs in its waits and its race alone.
fn keys(own: &Policy, policy: &Policy) -> Result<String, toml::ser::Error> {
    let whole = PolicyForm::from(policy);
    let mut form = PolicyForm::default();
    form.jitter = whole.jitter;
    form.tls_jitter = whole.tls_jitter;
    form.pace = whole.pace;
    if own.race() != policy.race() {
        form.race = whole.race;
    }
    toml::to_string(&Pasted { policy: form })
}

#[derive(Serialize)]
struct Pasted {
    policy: PolicyForm,
}
