//! The clock that a runtime brings: the only thing the connector needs of it.

use std::future::Future;
use std::sync::Arc;

use crate::time::Time;

/// Tells the time and waits. One implementation makes the connector run on another runtime.
///
/// The epoch is the implementation's choice, its time must not run backwards. A sleep may end late
/// and may be dropped at any point; one that lies in the past is ready at the first poll.
///
/// ```
/// use std::future::{Ready, ready};
/// use failover_core::drive::Clock;
/// use failover_core::time::Time;
///
/// /// Time stands still and nobody waits: enough for a doctest.
/// struct Still;
///
/// impl Clock for Still {
///     type Sleep = Ready<()>;
///     fn now(&self) -> Time { Time::ZERO }
///     fn sleep_until(&self, _at: Time) -> Ready<()> { ready(()) }
/// }
/// ```
pub trait Clock: Send + Sync + 'static {
    /// A future that is ready at a certain time.
    type Sleep: Future<Output = ()> + Send + 'static;

    /// What time it is.
    fn now(&self) -> Time;

    /// Waits until it is `at` or later.
    fn sleep_until(&self, at: Time) -> Self::Sleep;
}

impl<C: Clock> Clock for Arc<C> {
    type Sleep = C::Sleep;

    fn now(&self) -> Time {
        C::now(self)
    }

    fn sleep_until(&self, at: Time) -> C::Sleep {
        C::sleep_until(self, at)
    }
}
