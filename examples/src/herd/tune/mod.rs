//! A search for the policy that brings a herd back in time without overrunning its servers.

mod bounds;
mod candidates;
mod search;

use std::time::Duration;

use failover_core::policy::PolicyError;

pub use self::candidates::{candidates, staggered};
pub use self::search::{Found, search};
use super::Herd;

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

    /// Whether this herd reached it.
    #[must_use]
    pub fn reached(&self, herd: &Herd) -> bool {
        self.misses(herd) <= 1.0
    }

    /// How far this herd is from it: at most 1 if it is reached; otherwise the worse of the two
    /// ratios, and infinite if the clients never came back.
    #[must_use]
    pub fn misses(&self, herd: &Herd) -> f64 {
        self.misses_of(herd, 1)
    }

    /// The same of a herd of so many times fewer clients than meant, on servers that take so many times
    /// less. Its dials are counted over stretches that are longer by as much, so that chance has no
    /// more weight.
    fn misses_of(&self, herd: &Herd, times: u32) -> f64 {
        let late = match herd.back_after(self.share) {
            Some(after) => after.as_secs_f64() / self.within.as_secs_f64().max(1e-9),
            None => return f64::INFINITY,
        };
        let stretches = usize::try_from(times).unwrap_or(usize::MAX);
        let over = self.peak.map_or(0.0, |peak| {
            herd.peak_of_return_over(stretches) * f64::from(times) / peak.max(1e-9)
        });
        late.max(over)
    }
}

/// The best first: those that reach the goal, by the fewest dials; then the others, by how far they
/// are from it.
pub fn rank(goal: &Goal, tried: &mut [Tried]) {
    rank_of(goal, tried, 1);
}

fn rank_of(goal: &Goal, tried: &mut [Tried], times: u32) {
    let key = |tried: &Tried| {
        let misses = goal.misses_of(&tried.herd, times);
        let far = if misses <= 1.0 { 0.0 } else { misses };
        (far, tried.herd.dials_each())
    };
    tried.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
}
