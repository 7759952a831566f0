//! The law of the waits: how the next one follows from the one before.

use core::time::Duration;

use crate::policy::error::PolicyError;
use crate::policy::ratio::Ratio;
use crate::time::nanos;

/// How waits grow, before jitter.
///
/// ```
/// use core::time::Duration;
/// use failover_core::policy::{Backoff, Ratio};
///
/// let doubling = Backoff::Exponential { base: Duration::from_millis(100), factor: Ratio::TWO };
/// let cap = Duration::from_secs(1);
/// let waits: Vec<u128> = (1..=6).map(|n| doubling.wait(n, cap).as_millis()).collect();
/// assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backoff {
    /// The same wait every time (NATS's `ReconnectWait`, Diffusion's interval).
    Constant(Duration),
    /// `base`, `base·factor`, `base·factor²`, … up to the cap.
    Exponential {
        /// The first wait. Above zero.
        base: Duration,
        /// What each wait is multiplied by. At least 1.
        factor: Ratio,
    },
}

impl Backoff {
    /// The `n`-th wait in closed form (from 1), before jitter, at most `cap`.
    ///
    /// For tables and proofs; it takes as many steps as the law needs to reach the cap.
    #[must_use]
    pub fn wait(&self, n: u32, cap: Duration) -> Duration {
        let law = self.compile(cap);
        let mut wait = 0;
        for _ in 0..n {
            let next = law.next(wait);
            if next == wait {
                break;
            }
            wait = next;
        }
        Duration::from_nanos(wait)
    }

    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        let Self::Exponential { base, factor } = self else {
            return Ok(());
        };
        if base.is_zero() {
            return Err(PolicyError::ZeroBase);
        }
        if *factor < Ratio::ONE {
            return Err(PolicyError::FactorBelowOne { factor: *factor });
        }
        Ok(())
    }

    pub(crate) fn compile(&self, cap: Duration) -> Law {
        let cap = nanos(cap);
        let (base, factor) = match *self {
            Self::Constant(wait) => (nanos(wait), Ratio::ONE),
            Self::Exponential { base, factor } => (nanos(base), factor),
        };
        Law {
            base: base.min(cap),
            cap,
            factor,
        }
    }
}

/// A backoff ready to be computed: `next` is the step, the state is the previous wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Law {
    base: u64,
    cap: u64,
    factor: Ratio,
}

impl Law {
    /// The wait after a wait of `previous` nanoseconds; 0 means that there was none yet.
    #[inline]
    pub(crate) fn next(&self, previous: u64) -> u64 {
        if previous == 0 {
            return self.base;
        }
        self.factor.of(previous).min(self.cap)
    }
}
