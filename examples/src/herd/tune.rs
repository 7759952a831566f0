//! A search for the policy that brings a herd back in time without overrunning its servers.

use std::time::Duration;

use failover_core::config::PolicyForm;
use failover_core::policy::{Backoff, Jitter, Pace, Policy, PolicyError, Ratio};
use serde::Serialize;

use super::{Contestant, Herd};
use crate::scenario::Scenario;

/// A candidate that cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CandidateError {
    /// Its policy was refused.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// It cannot be written.
    #[error("a candidate cannot be written as TOML: {0}")]
    Unwritten(#[from] toml::ser::Error),
}

/// What is asked of a policy.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Goal {
    /// This share of the clients, in percent: 50, 90, 99 or 100 …
    pub share: usize,
    /// … is connected again so long after the world has healed.
    pub within: Duration,
    /// Once the world has healed, no server is dialled more often than this in a second, in any tenth
    /// of one: what is refused while it is away costs it nothing.
    pub peak: Option<f64>,
}

/// A policy that was tried.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tried {
    /// How its waits are made, as configuration.
    pub toml: String,
    /// What became of the herd.
    pub herd: Herd,
}

impl Tried {
    /// What became of the herd of a policy that is written so.
    #[must_use]
    pub const fn new(toml: String, herd: Herd) -> Self {
        Self { toml, herd }
    }
}

impl Goal {
    /// A goal without a bound on the rate.
    #[must_use]
    pub const fn new(share: usize, within: Duration) -> Self {
        Self {
            share,
            within,
            peak: None,
        }
    }

    /// The same, and no server is dialled more often than this in a second.
    #[must_use]
    pub const fn peak(mut self, dials_per_second: f64) -> Self {
        self.peak = Some(dials_per_second);
        self
    }

    /// What each server would have to take in a second, if every dial of the return succeeded and was
    /// spread evenly over the servers and the time: more than the peak, and no policy can do it.
    #[must_use]
    pub fn least_peak(&self, clients: usize, servers: usize) -> f64 {
        let number = |n: usize| super::count::float(u64::try_from(n).unwrap_or(u64::MAX));
        let back = number(clients) * number(self.share) / 100.0;
        back / self.within.as_secs_f64().max(1e-9) / number(servers.max(1))
    }

    /// Whether this herd reached it.
    #[must_use]
    pub fn reached(&self, herd: &Herd) -> bool {
        self.misses(herd) <= 1.0
    }

    /// How far this herd is from it: at most 1 if it is reached; otherwise the worse of the two
    /// ratios, and infinite if the clients never came back.
    #[must_use]
    pub fn misses(&self, herd: &Herd) -> f64 {
        let late = match herd.back_after(self.share) {
            Some(after) => after.as_secs_f64() / self.within.as_secs_f64().max(1e-9),
            None => return f64::INFINITY,
        };
        let over = self
            .peak
            .map_or(0.0, |peak| herd.peak_of_return() / peak.max(1e-9));
        late.max(over)
    }
}

/// What is tried: laws, how far they spread at first, where they end.
///
/// All else is the scenario's policy. Each comes with the keys to write into its `[policy]`.
///
/// # Errors
/// A policy that cannot be built or written, which would be a defect here.
pub fn candidates(scenario: &Scenario) -> Result<Vec<(Contestant, String)>, CandidateError> {
    let mut all = Vec::new();
    for cap in [2_000, 5_000, 10_000, 20_000, 40_000, 80_000] {
        for base in [100, 500, 1_000, 2_500, 5_000] {
            if base * 2 > cap {
                continue;
            }
            for law in Law::ALL {
                let name = format!("{} {base}ms cap {}s", law.name(), cap / 1000);
                let policy = law.policy(&scenario.policy, base, cap)?;
                let keys = keys(&policy)?;
                all.push((Contestant::new(name, policy), keys));
            }
        }
    }
    Ok(all)
}

/// The best first: those that reach the goal, by the fewest dials; then the others, by how far they
/// are from it.
pub fn rank(goal: &Goal, tried: &mut [Tried]) {
    let key = |tried: &Tried| {
        let misses = goal.misses(&tried.herd);
        if misses <= 1.0 {
            (0.0, tried.herd.dials_each())
        } else {
            (misses, tried.herd.dials_each())
        }
    };
    tried.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
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
        let pace = Pace::new(backoff)
            .every(policy.pace().every)
            .cap(Duration::from_millis(cap));
        policy
            .to_builder()
            .pace(pace)
            .jitter(jitter)
            .tls_jitter(jitter)
            .build()
    }
}

/// The keys that make this policy of any other that differs from it in its waits alone.
fn keys(policy: &Policy) -> Result<String, toml::ser::Error> {
    let whole = PolicyForm::from(policy);
    let mut form = PolicyForm::default();
    form.jitter = whole.jitter;
    form.tls_jitter = whole.tls_jitter;
    form.pace = whole.pace;
    toml::to_string(&Pasted { policy: form })
}

#[derive(Serialize)]
struct Pasted {
    policy: PolicyForm,
}
