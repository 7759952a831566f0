//! Policies by name, to be compared.

use std::time::Duration;

use failover_core::config::nearest;
use failover_core::policy::{
    Backoff, Every, Jitter, Order, Pace, Policy, PolicyError, Ratio, Shuffle, Walk,
};
use failover_core::preset::PresetName;

/// A policy and what it is called.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Contestant {
    /// Its name in reports.
    pub name: String,
    /// The policy.
    pub policy: Policy,
}

/// There is no policy of this name.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{name:?} is neither a preset nor a known law{hint}; there are {}", Contestant::NAMES.join(", "))]
#[non_exhaustive]
pub struct NoSuchContestant {
    /// What was asked for.
    pub name: String,
    /// The nearest name, in words.
    pub hint: String,
}

impl Contestant {
    /// Every name that [`named`](Self::named) knows.
    pub const NAMES: [&str; 13] = [
        "ours",
        "stompit",
        "activemq",
        "nats",
        "diffusion_reconnect",
        "diffusion_failover",
        "synapse",
        "async-nats",
        "grpc",
        "full-jitter",
        "equal-jitter",
        "decorrelated",
        "constant",
    ];

    /// The policy of this name: a preset (`ours` is the default), or a law that is well known
    /// elsewhere, capped at 10 s where its source leaves the cap open.
    ///
    /// # Errors
    /// Which names there are.
    pub fn named(name: &str) -> Result<Self, NoSuchContestant> {
        let policy = match name {
            "ours" => Ok(Policy::default()),
            // gRPC's connection backoff: 1 s, factor 1.6, at most 120 s, jitter of 20 %.
            "grpc" => grpc(),
            "full-jitter" => of(exponential(100), Jitter::Full),
            "equal-jitter" => of(exponential(100), Jitter::Equal),
            "decorrelated" => {
                let base = Duration::from_millis(100);
                of(Backoff::Decorrelated { base }, Jitter::None)
            }
            "constant" => of(Backoff::Constant(Duration::from_secs(2)), Jitter::None),
            "async-nats" => async_nats(),
            preset => match preset.parse().map(PresetName::preset) {
                Ok(preset) => preset.map(|preset| preset.policy),
                Err(_) => return Err(NoSuchContestant::of(name)),
            },
        };
        let policy = policy.map_err(|_| NoSuchContestant::of(name))?;
        Ok(Self::new(name, policy))
    }
}

impl NoSuchContestant {
    fn of(name: &str) -> Self {
        let near = nearest(name, Contestant::NAMES.iter().copied());
        Self {
            name: name.to_string(),
            hint: near.map_or(String::new(), |near| format!(" (did you mean {near:?}?)")),
        }
    }
}

fn exponential(base_ms: u64) -> Backoff {
    Backoff::Exponential {
        base: Duration::from_millis(base_ms),
        factor: Ratio::TWO,
    }
}

/// A law with a cap of 10 s, on each wait between two sweeps.
fn of(backoff: Backoff, jitter: Jitter) -> Result<Policy, PolicyError> {
    Policy::builder()
        .order(Order::new(Walk::Shuffled(Shuffle::EachLoss)))
        .pace(
            Pace::new(backoff)
                .every(Every::Sweep)
                .cap(Duration::from_secs(10)),
        )
        .jitter(jitter)
        .tls_jitter(jitter)
        .build()
}

fn grpc() -> Result<Policy, PolicyError> {
    let backoff = Backoff::Exponential {
        base: Duration::from_secs(1),
        factor: Ratio::from_ppm(1_600_000),
    };
    let jitter = Jitter::Proportional(Ratio::from_ppm(200_000));
    Policy::builder()
        .pace(
            Pace::new(backoff)
                .every(Every::Sweep)
                .cap(Duration::from_secs(120)),
        )
        .jitter(jitter)
        .tls_jitter(jitter)
        .deadline(Duration::from_secs(20))
        .build()
}

/// async-nats waits 0, 2, 4 … ms up to 4 s before each attempt, without jitter.
fn async_nats() -> Result<Policy, PolicyError> {
    let backoff = Backoff::Exponential {
        base: Duration::from_millis(2),
        factor: Ratio::TWO,
    };
    Policy::builder()
        .order(Order::new(Walk::LeastFailed))
        .pace(
            Pace::new(backoff)
                .every(Every::Attempt)
                .first(Duration::ZERO)
                .cap(Duration::from_secs(4)),
        )
        .jitter(Jitter::None)
        .tls_jitter(Jitter::None)
        .build()
}
