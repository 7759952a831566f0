//! How this client stays connected, if nobody says otherwise.

use std::time::Duration;

use failover_core::policy::{Backoff, Pace, Policy, PolicyBuilder};

/// The longest wait between two visits of a server.
const CAP: Duration = Duration::from_millis(1500);

/// The library's default with waits of at most 1.5 s, where that has 8 s.
///
/// Whoever runs NATS expects its clients to look every [two seconds](failover_core::preset::Nats) or so and
/// sizes the servers for it; the library's default does not know whom it will meet. A node that is back after a
/// dark cluster is found within 1.5 s, in the median within 0.75 s. Each client keeps a phase of its own, so
/// that they come evenly: what that costs the servers stands in `docs/herd.md`.
///
/// ```
/// use std::time::Duration;
///
/// // For very many clients of few servers behind TLS:
/// let gentle = examples::nats::policy();
/// let pace = gentle.clone().build()?.pace().cap(Duration::from_secs(8));
/// assert_eq!(gentle.pace(pace).build()?.pace().cap, Duration::from_secs(8));
/// # Ok::<(), failover_core::policy::PolicyError>(())
/// ```
pub fn policy() -> PolicyBuilder {
    let ladder = Backoff::PhaseLadder {
        spread: Duration::from_millis(125),
        tls_spread: Duration::from_secs(1),
    };
    Policy::builder().pace(Pace::new(ladder).cap(CAP))
}
