//! When to give up.

use core::time::Duration;

use crate::policy::error::PolicyError;

/// A count with a bound, or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Limit {
    /// Never reached.
    #[default]
    Unlimited,
    /// Reached when the n-th is booked.
    AtMost(u32),
}

impl Limit {
    /// Whether `count` has reached it.
    #[must_use]
    pub const fn is_reached(self, count: u32) -> bool {
        match self {
            Self::Unlimited => false,
            Self::AtMost(most) => count >= most,
        }
    }
}

/// When to give up. The first limit that is reached closes.
///
/// What is counted are failed *turns* since the last reset, the first included: a turn is one visit
/// of an endpoint with all its routes, and a connection that was lost before it proved stable. Only
/// a connection that proved stable resets (law L7). All are unlimited by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Limits {
    /// Failed turns in a row, whatever the endpoint.
    pub turns: Limit,
    /// Failed turns in a row of one endpoint: it is then retired for this outage. When all are
    /// retired, the connector closes. (NATS's `MaxReconnect`, stompit's `maxReconnects`)
    pub per_endpoint: Limit,
    /// Sweeps over the list without success. (ActiveMQ's `maxReconnectAttempts`)
    pub sweeps: Limit,
    /// Time since the outage began. (Diffusion's reconnection timeout)
    pub elapsed: Option<Duration>,
}

impl Limits {
    /// Never give up.
    pub const UNLIMITED: Self = Self {
        turns: Limit::Unlimited,
        per_endpoint: Limit::Unlimited,
        sweeps: Limit::Unlimited,
        elapsed: None,
    };

    /// The same with this limit of failed turns.
    #[must_use]
    pub fn turns(mut self, limit: Limit) -> Self {
        self.turns = limit;
        self
    }

    /// The same with this limit of failed turns of one endpoint.
    #[must_use]
    pub fn per_endpoint(mut self, limit: Limit) -> Self {
        self.per_endpoint = limit;
        self
    }

    /// The same with this limit of sweeps.
    #[must_use]
    pub fn sweeps(mut self, limit: Limit) -> Self {
        self.sweeps = limit;
        self
    }

    /// The same with this limit of time.
    #[must_use]
    pub fn elapsed(mut self, limit: Duration) -> Self {
        self.elapsed = Some(limit);
        self
    }

    /// At start-up, a limit of zero would close before the first dial.
    pub(crate) fn check_start_up(&self) -> Result<(), PolicyError> {
        let zero = [
            (self.turns, "turns"),
            (self.per_endpoint, "per_endpoint"),
            (self.sweeps, "sweeps"),
        ]
        .into_iter()
        .find(|(limit, _)| *limit == Limit::AtMost(0));
        match zero {
            Some((_, limit)) => Err(PolicyError::ZeroStartUpLimit { limit }),
            None if self.elapsed == Some(Duration::ZERO) => {
                Err(PolicyError::ZeroStartUpLimit { limit: "elapsed" })
            }
            None => Ok(()),
        }
    }
}
