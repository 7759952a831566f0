//! How long to wait, and before which dials.

use core::time::Duration;

use crate::policy::backoff::Backoff;
use crate::policy::error::PolicyError;
use crate::policy::ratio::Ratio;

/// How long to wait, and before which dials.
///
/// | field | default | source |
/// |---|---|---|
/// | `backoff` | exponential, 250 ms × 2 | |
/// | `every` | [`Every::Sweep`] | NATS waits once per sweep |
/// | `min` | 0 | |
/// | `cap` | 8 s | low enough that a returned server is found soon |
/// | `first` | 0 | ActiveMQ waits 10 ms here |
/// | `custom` | [`CustomDelay::Off`] | NATS's `CustomReconnectDelayCB` |
///
/// The jitter is part of the wait: min ≤ wait ≤ cap holds for the sum (law L2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Pace {
    /// How the waits grow.
    pub backoff: Backoff,
    /// What each wait stands before.
    pub every: Every,
    /// The least wait, after jitter.
    pub min: Duration,
    /// The longest wait, after jitter.
    pub cap: Duration,
    /// The wait before the first dial after a loss. Zero: dial at once.
    pub first: Duration,
    /// Whether the delay hook is asked.
    pub custom: CustomDelay,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            backoff: Backoff::Exponential {
                base: Duration::from_millis(250),
                factor: Ratio::TWO,
            },
            every: Every::Sweep,
            min: Duration::ZERO,
            cap: Duration::from_secs(8),
            first: Duration::ZERO,
            custom: CustomDelay::Off,
        }
    }
}

impl Pace {
    /// The default pace with this law.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            ..Self::default()
        }
    }

    /// The same, waiting before each of these.
    #[must_use]
    pub fn every(mut self, every: Every) -> Self {
        self.every = every;
        self
    }

    /// The same with this least wait.
    #[must_use]
    pub fn min(mut self, min: Duration) -> Self {
        self.min = min;
        self
    }

    /// The same with this longest wait.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// The same with this wait before the first dial after a loss. Where the pace asks for a wait
    /// there, too, the longer one is kept, or the hook's. A connection that did not prove stable goes
    /// on with the outage before it: its loss has no first dial.
    #[must_use]
    pub fn first(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// The same with the delay hook asked, or not.
    #[must_use]
    pub fn custom(mut self, custom: CustomDelay) -> Self {
        self.custom = custom;
        self
    }

    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        if self.min > self.cap {
            return Err(PolicyError::MinAboveCap {
                min: self.min,
                cap: self.cap,
            });
        }
        if self.min > Duration::from_nanos(u64::MAX) {
            return Err(PolicyError::MinTooLong { min: self.min });
        }
        self.backoff.check(self.min, self.cap)
    }
}

/// What each wait stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Every {
    /// Every dial but the first of an outage.
    Attempt,
    /// The next dial of an endpoint that failed, counted from the end of its last attempt; each
    /// endpoint has a series of its own. A fresh endpoint is dialled at once.
    Endpoint,
    /// Each return to an endpoint that failed, counted from the decision to go there; each endpoint
    /// has a series of its own (stompit). A fresh endpoint is dialled at once.
    Return,
    /// Each sweep over the endpoints: those of one sweep are dialled back to back. The loss itself
    /// counts as the lost server's turn under [`Lost::TurnTaken`](crate::policy::Lost), so that
    /// the wait stands before it is dialled again (NATS).
    Sweep,
}

/// Whether the delay hook is asked, and what bounds its answer.
///
/// The hard floor of [`MIN_REDIAL`](crate::policy::MIN_REDIAL) between two dials of one endpoint
/// holds in any case (law L8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CustomDelay {
    /// It is not asked.
    #[default]
    Off,
    /// It is asked; its answer is kept within the pace's `min` and `cap`.
    Bounded,
    /// It is asked and obeyed, `min` and `cap` notwithstanding.
    Unbounded,
}
