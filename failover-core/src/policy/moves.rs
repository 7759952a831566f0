//! What is done while a connection stands: preparing for its end, and leaving it for a better one.

use core::time::Duration;

use crate::policy::error::PolicyError;

/// Whether two connections may stand at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Overlap {
    /// A move makes the new connection before it breaks the old one. The default.
    #[default]
    Allowed,
    /// It breaks the old one first: for protocols in which a second login with the same client id
    /// ends the first. Spares and failback are then refused.
    Forbidden,
}

/// Goes back to a lower tier while connected to a higher one, when probes of it have succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Failback {
    /// How often a preferred endpoint is probed. Default 10 s.
    pub every: Duration,
    /// How many probes of one endpoint must succeed in a row. Default 3, at least 1.
    pub good_probes: u8,
    /// How long after the first of them the move is made at the earliest. Default 30 s.
    pub settle: Duration,
}

impl Default for Failback {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(10),
            good_probes: 3,
            settle: Duration::from_secs(30),
        }
    }
}

impl Failback {
    /// The same, probing this often.
    #[must_use]
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// The same with this many good probes in a row.
    #[must_use]
    pub fn good_probes(mut self, probes: u8) -> Self {
        self.good_probes = probes;
        self
    }

    /// The same, moving no sooner than this after the first good probe.
    #[must_use]
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }
}

/// Leaves a connection that has become old, so that clients spread again after a rolling restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MaxAge {
    /// The greatest age.
    pub age: Duration,
    /// Each connection's own age is drawn from `U[age − spread, age)`.
    pub spread: Duration,
}

impl MaxAge {
    /// This age, with a tenth of it as the spread.
    #[must_use]
    pub fn new(age: Duration) -> Self {
        Self {
            age,
            spread: age / 10,
        }
    }

    /// The same with this spread.
    #[must_use]
    pub fn spread(mut self, spread: Duration) -> Self {
        self.spread = spread;
        self
    }
}

/// After a loss, first goes back to the same server for a while, because the session may be resumed
/// there. Its waits are spread by the policy's jitter within the pace's `min` and `cap`. Failures count for the window, not for the limits; then the session is told to be gone,
/// and only after that another server is dialled. (Diffusion's reconnection)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Resume {
    /// How long. Diffusion: 60 s.
    pub window: Duration,
    /// The wait between two dials in it. Diffusion: 5 s.
    pub every: Duration,
    /// The wait before the first. Default 0. Diffusion: 5 s.
    pub first: Duration,
}

impl Resume {
    /// This window and this wait between the dials.
    #[must_use]
    pub fn new(window: Duration, every: Duration) -> Self {
        Self {
            window,
            every,
            first: Duration::ZERO,
        }
    }

    /// The same with this wait before the first dial.
    #[must_use]
    pub fn first(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }
}

/// What is done while a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Standing {
    /// Whether two connections may stand at the same time. Default: they may.
    pub overlap: Overlap,
    /// How many spare connections are kept, on other servers than the active one. Default 0.
    pub spares: u8,
    /// Whether and how to go back to a lower tier. Default: not.
    pub failback: Option<Failback>,
    /// Whether and when a connection is too old. Default: never.
    pub max_age: Option<MaxAge>,
    /// A server that drains is left after `U[0, drain_spread)`. Default 5 s.
    pub drain_spread: Duration,
    /// How long a connection that is left, and the last one at close, may finish. Default 1 s.
    pub grace: Duration,
    /// When the network is back, waits are cut down to `U[0, wake_spread)`. Default 500 ms.
    pub wake_spread: Duration,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            overlap: Overlap::Allowed,
            spares: 0,
            failback: None,
            max_age: None,
            drain_spread: Duration::from_secs(5),
            grace: Duration::from_secs(1),
            wake_spread: Duration::from_millis(500),
        }
    }
}

impl Standing {
    /// The same, with overlap allowed or forbidden.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// The same with this many spares. A spare that dies is noticed by a keeper, where the connector has one,
    /// and replaced after a wait of the policy's law; the wait grows while that endpoint's spares die before
    /// they are stable.
    #[must_use]
    pub fn spares(mut self, spares: u8) -> Self {
        self.spares = spares;
        self
    }

    /// The same with failback.
    #[must_use]
    pub fn failback(mut self, failback: Failback) -> Self {
        self.failback = Some(failback);
        self
    }

    /// The same with a greatest age.
    #[must_use]
    pub fn max_age(mut self, max_age: MaxAge) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// The same, leaving a draining server within this time.
    #[must_use]
    pub fn drain_spread(mut self, spread: Duration) -> Self {
        self.drain_spread = spread;
        self
    }

    /// The same with this grace.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The same, spreading the dials after the network came back over this time.
    #[must_use]
    pub fn wake_spread(mut self, spread: Duration) -> Self {
        self.wake_spread = spread;
        self
    }

    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        if self.overlap == Overlap::Forbidden && self.spares > 0 {
            return Err(PolicyError::NeedsOverlap { part: "spares" });
        }
        if self.overlap == Overlap::Forbidden && self.failback.is_some() {
            return Err(PolicyError::NeedsOverlap { part: "failback" });
        }
        if let Some(failback) = self.failback
            && (failback.good_probes == 0 || failback.every.is_zero())
        {
            return Err(PolicyError::ZeroFailback);
        }
        if let Some(max_age) = self.max_age
            && (max_age.age.is_zero() || max_age.spread > max_age.age)
        {
            return Err(PolicyError::MaxAge {
                age: max_age.age,
                spread: max_age.spread,
            });
        }
        Ok(())
    }
}
