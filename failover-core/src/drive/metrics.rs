//! Numbers for a monitoring system, counted as things happen.

use core::time::Duration;

use crate::drive::event::What;
use crate::drive::share::HeldBy;
use crate::failure::Kind;
use crate::machine::Why;

/// Counts what a connector does, for a monitoring system. Every method has a default that does
/// nothing.
///
/// Endpoints come by [name](crate::directory::Endpoint::name), failures by kind: as many series as
/// there are names in the list, times a small fixed number. (Where servers push lists, the
/// [`Learner`](crate::directory::Learner) bounds the names.)
///
/// The methods are called on the task that drives the connector, under none of its locks, and must
/// not block: add to an atomic, or send to a bounded channel. A panic in one is caught and counted as
/// [`Counters::hook_panics`](crate::drive::Counters::hook_panics). One value may serve many
/// connectors.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use failover_core::drive::Metrics;
///
/// #[derive(Default)]
/// struct Losses(AtomicU64);
///
/// impl Metrics for Losses {
///     fn lost(&self, _endpoint: &str, _kind: failover_core::failure::Kind, _lived: std::time::Duration) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
/// ```
pub trait Metrics: Send + Sync {
    /// A dial began: after it got its permit, if it needed one.
    fn dial_began(&self, endpoint: &str) {
        let _ = endpoint;
    }

    /// A dial gave a connection after so long; a probe's and a spare's, too.
    fn dial_done(&self, endpoint: &str, took: Duration) {
        let _ = (endpoint, took);
    }

    /// A dial failed, or was cancelled ([`Kind::Cancelled`]), after so long.
    fn dial_failed(&self, endpoint: &str, kind: Kind, took: Duration) {
        let _ = (endpoint, kind, took);
    }

    /// A dial waits for a permit.
    fn dial_held(&self, endpoint: &str, by: HeldBy) {
        let _ = (endpoint, by);
    }

    /// The client is connected to this endpoint from now on: for the first time, again, after a
    /// failover, after a move.
    fn connected(&self, endpoint: &str) {
        let _ = endpoint;
    }

    /// The connection was lost after so long. One that was left or closed is no loss.
    fn lost(&self, endpoint: &str, kind: Kind, lived: Duration) {
        let _ = (endpoint, kind, lived);
    }

    /// The connector waits so long before it dials this endpoint.
    fn waits(&self, endpoint: &str, wait: Duration) {
        let _ = (endpoint, wait);
    }

    /// An endpoint was suspended by a failure of this connector.
    fn suspended(&self, endpoint: &str) {
        let _ = endpoint;
    }

    /// A spare connection stands ready.
    fn spare_ready(&self, endpoint: &str) {
        let _ = endpoint;
    }

    /// A spare connection was lost.
    fn spare_lost(&self, endpoint: &str, kind: Kind) {
        let _ = (endpoint, kind);
    }

    /// The connector is closed or has given up.
    fn closed(&self) {}
}

/// Counts what an event says.
pub(crate) fn count(metrics: &dyn Metrics, what: &What) {
    let next = match what {
        What::Attempt(attempt) => {
            let name = attempt.target.endpoint().name();
            match &attempt.outcome {
                Ok(()) => metrics.dial_done(name, attempt.took),
                Err(error) => metrics.dial_failed(name, error.failure.kind, attempt.took),
            }
            attempt.next.as_ref()
        }
        What::Disconnected {
            link,
            why,
            lived,
            next,
            ..
        } => {
            if let Why::Lost(failure) = why {
                metrics.lost(link.target.endpoint().name(), failure.kind, *lived);
            }
            next.as_ref()
        }
        What::Held { target, by } => {
            metrics.dial_held(target.endpoint().name(), *by);
            None
        }
        What::Connected(to)
        | What::Reconnected(to)
        | What::FailedOver { to, .. }
        | What::Moved { to, .. } => {
            metrics.connected(to.target.endpoint().name());
            None
        }
        What::Suspended { endpoint, .. } => {
            metrics.suspended(endpoint.name());
            None
        }
        What::SpareReady(link) => {
            metrics.spare_ready(link.target.endpoint().name());
            None
        }
        What::SpareLost { link, failure } => {
            metrics.spare_lost(link.target.endpoint().name(), failure.kind);
            None
        }
        What::Closed(_) => {
            metrics.closed();
            None
        }
        What::SessionGone
        | What::Switching { .. }
        | What::Draining { .. }
        | What::ListChanged { .. }
        | What::ListRefused { .. }
        | What::Discovered { .. }
        | What::LateReport { .. }
        | What::NotDriven
        | What::Starved
        | What::HookPanicked { .. } => None,
    };
    if let Some(next) = next.filter(|next| !next.wait.is_zero()) {
        metrics.waits(next.target.endpoint().name(), next.wait);
    }
}
