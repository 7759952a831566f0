//! What connectors of one process share, so that a thousand of them do not storm: permits to dial, a
//! budget of retries, what they know of endpoints. All of it is optional; none of it needs a runtime
//! or a task of its own.

mod budget;
mod health;
mod limiter;

use std::sync::{Mutex, PoisonError};

pub use self::budget::{BudgetRules, RetryBudget};
pub use self::health::SharedHealth;
pub(crate) use self::health::{Claim, News, Probe, Reader};
pub use self::limiter::DialLimiter;
pub(crate) use self::limiter::Place;

/// Whose permit a dial waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeldBy {
    /// The [`DialLimiter`]: as many dials as it allows are in flight.
    Limiter,
    /// The [`RetryBudget`]: it is spent for now.
    Budget,
}

impl HeldBy {
    /// The word for logs and JSON lines: stable, lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limiter => "limiter",
            Self::Budget => "budget",
        }
    }
}

/// Locked only for a look or a note: never across user code, I/O, an await or a wake.
fn locked<S, T>(mutex: &Mutex<S>, then: impl FnOnce(&mut S) -> T) -> T {
    then(&mut mutex.lock().unwrap_or_else(PoisonError::into_inner))
}
