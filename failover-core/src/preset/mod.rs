//! Policies of other systems, as values.
//!
//! Each system has a struct of its own options, with its names and its defaults; `preset` turns
//! them into a [`Policy`] and a [`LinkPolicy`]. No code below knows of any of them: what a preset
//! says can be said by hand, and changed with [`Policy::to_builder`].
//!
//! ```
//! use core::time::Duration;
//! use failover_core::policy::Limit;
//! use failover_core::preset::{Nats, Preset, PresetName};
//!
//! let Preset { policy, .. } = Nats { max_reconnect: -1, ..Nats::default() }.preset()?;
//! assert_eq!(policy.limits().per_endpoint, Limit::Unlimited);
//!
//! // As it is, but with a longer deadline:
//! let nats = PresetName::Nats.preset()?.policy;
//! let mine = nats.to_builder().deadline(Duration::from_secs(5)).build()?;
//! assert_eq!(mine.pace(), nats.pace());
//! # Ok::<(), failover_core::policy::PolicyError>(())
//! ```
//!
//! What every preset has of ours, whatever the original did: one deadline covers the whole dial,
//! login included; the cap bounds every wait after jitter; [`MIN_REDIAL`](crate::policy::MIN_REDIAL)
//! bounds the rate; a limit per endpoint retires it for the outage, not for good.

mod activemq;
mod diffusion;
mod nats;
mod stompit;
mod synapse;

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use thiserror::Error;

pub use self::activemq::ActiveMq;
pub use self::diffusion::{DiffusionFailover, DiffusionReconnect};
pub use self::nats::Nats;
pub use self::stompit::Stompit;
pub use self::synapse::{Synapse, SynapseCode, SynapseGroup};
use crate::link::LinkPolicy;
use crate::policy::{Backoff, Limit, Pace, Policy, PolicyError, Ratio};

/// What a preset gives: a policy, and what it wants of the link.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Preset {
    /// How to stay connected.
    pub policy: Policy,
    /// What a message client does over the connection.
    pub link: LinkPolicy,
}

/// A preset with the defaults of its system, by name.
///
/// | name | system | in one sentence |
/// |---|---|---|
/// | `default` | this library | the others at once, the lost one last; a phase ladder per sweep up to 8 s, TLS wider; never gives up |
/// | `stompit` | stompit 1.0, `ConnectFailover` | shuffled rotation; each server's own delay grows from 10 ms to 30 s |
/// | `activemq` | ActiveMQ 5, `failover:` | reshuffled passes, 10 ms doubled up to 30 s between them |
/// | `diffusion_reconnect` | Diffusion 6 | the same server every 5 s, for 60 s |
/// | `diffusion_failover` | Diffusion 6 | the next server, new session |
/// | `nats` | nats.go 1.53 | shuffled rotation, 2 s once per sweep, 60 failures per server |
/// | `synapse` | Apache and WSO2 Synapse | the first that is not suspended |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum PresetName {
    /// This library's own.
    #[default]
    Default,
    /// [`Stompit`].
    Stompit,
    /// [`ActiveMq`].
    ActiveMq,
    /// [`DiffusionReconnect`].
    DiffusionReconnect,
    /// [`DiffusionFailover`].
    DiffusionFailover,
    /// [`Nats`].
    Nats,
    /// [`Synapse`].
    Synapse,
}

impl PresetName {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Default,
        Self::Stompit,
        Self::ActiveMq,
        Self::DiffusionReconnect,
        Self::DiffusionFailover,
        Self::Nats,
        Self::Synapse,
    ];

    /// The preset, with the defaults of its system.
    ///
    /// # Errors
    /// None for the defaults; the type is that of the presets with options.
    pub fn preset(self) -> Result<Preset, PolicyError> {
        match self {
            Self::Default => Ok(Preset::default()),
            Self::Stompit => Stompit::default().preset(),
            Self::ActiveMq => ActiveMq::default().preset(),
            Self::DiffusionReconnect => DiffusionReconnect::default().preset(),
            Self::DiffusionFailover => DiffusionFailover::default().preset(),
            Self::Nats => Nats::default().preset(),
            Self::Synapse => Synapse::default().preset(),
        }
    }

    /// The name, as in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Stompit => "stompit",
            Self::ActiveMq => "activemq",
            Self::DiffusionReconnect => "diffusion_reconnect",
            Self::DiffusionFailover => "diffusion_failover",
            Self::Nats => "nats",
            Self::Synapse => "synapse",
        }
    }
}

impl fmt::Display for PresetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no preset of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "there is no such preset: use default, stompit, activemq, diffusion_reconnect, diffusion_failover, nats or synapse"
)]
#[non_exhaustive]
pub struct NoSuchPreset;

impl FromStr for PresetName {
    type Err = NoSuchPreset;

    fn from_str(name: &str) -> Result<Self, NoSuchPreset> {
        let mut all = Self::ALL.into_iter();
        all.find(|preset| preset.as_str() == name)
            .ok_or(NoSuchPreset)
    }
}

/// A count of the kind "negative: without limit; at least `least`".
fn at_most(count: i64, least: u32) -> Limit {
    match u32::try_from(count) {
        Ok(count) => Limit::AtMost(count.max(least)),
        Err(_) if count < 0 => Limit::Unlimited,
        Err(_) => Limit::AtMost(u32::MAX),
    }
}

/// Waits that grow by a factor from `initial`; without growth or start, the same wait every time.
fn growing(initial: Duration, factor: Ratio, cap: Duration) -> Pace {
    let backoff = match initial {
        Duration::ZERO => Backoff::Constant(Duration::ZERO),
        base => Backoff::Exponential { base, factor },
    };
    Pace::new(backoff).cap(cap)
}
