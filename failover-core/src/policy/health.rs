//! How an endpoint that fails is rested, and what is done when all are.

use core::time::Duration;

use crate::policy::error::PolicyError;
use crate::policy::ratio::Ratio;

/// How an endpoint that fails is rested.
///
/// A [`Suspend`](crate::policy::Reaction::Suspend) rests it for `initial`, then `initial·factor`, …
/// up to `maximum`; when its time is up, the next dial is its probe. A
/// [`Mark`](crate::policy::Reaction::Mark) rests it for `retry_delay`; the one after `retries` marks
/// in a row suspends. Only a connection that proved stable resets both.
///
/// | field | default | Synapse |
/// |---|---|---|
/// | `initial` | 30 s | `initialDuration`, 30 s |
/// | `factor` | 2 | `progressionFactor`, 1.0 |
/// | `maximum` | 10 min | `maximumDuration`, none |
/// | `retries` | 0 | `retriesBeforeSuspension`, 0 |
/// | `retry_delay` | 0 | `retryDelay`, 0 ms |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Health {
    /// The first suspension.
    pub initial: Duration,
    /// What each further one is multiplied by. At least 1.
    pub factor: Ratio,
    /// The longest suspension, and the longest retry-after hint that is believed. It bounds the
    /// first one too.
    pub maximum: Duration,
    /// How many marks an endpoint has before one suspends it. At most 254.
    pub retries: u8,
    /// How long a mark rests it.
    pub retry_delay: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(30),
            factor: Ratio::TWO,
            maximum: Duration::from_secs(600),
            retries: 0,
            retry_delay: Duration::ZERO,
        }
    }
}

impl Health {
    /// The same with this first suspension.
    #[must_use]
    pub fn initial(mut self, initial: Duration) -> Self {
        self.initial = initial;
        self
    }

    /// The same with this growth of suspensions.
    #[must_use]
    pub fn factor(mut self, factor: Ratio) -> Self {
        self.factor = factor;
        self
    }

    /// The same with this longest suspension.
    #[must_use]
    pub fn maximum(mut self, maximum: Duration) -> Self {
        self.maximum = maximum;
        self
    }

    /// The same with this many marks before a suspension.
    #[must_use]
    pub fn retries(mut self, retries: u8) -> Self {
        self.retries = retries;
        self
    }

    /// The same with this rest after a mark.
    #[must_use]
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = delay;
        self
    }

    /// The longest that it lets an endpoint rest.
    #[cfg(feature = "testing")]
    pub(crate) fn longest_rest(&self) -> Duration {
        self.maximum.max(self.retry_delay)
    }

    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        let Self {
            factor, retries, ..
        } = *self;
        if factor < Ratio::ONE {
            return Err(PolicyError::SuspensionFactor { factor });
        }
        match retries {
            u8::MAX => Err(PolicyError::Retries { retries }),
            _ => Ok(()),
        }
    }
}

/// What is done when every endpoint is resting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum NobodyReady {
    /// Wait for the one whose rest ends first. The default.
    #[default]
    Wait,
    /// Close.
    Fail,
    /// Dial the one whose rest ends first, without waiting for that, at the ordinary pace.
    LeastBad,
}
