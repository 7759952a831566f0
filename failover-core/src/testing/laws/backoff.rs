//! Laws of a backoff alone: L1 to L4.

use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::Arc;

use crate::endpoint::{EndpointId, Security, Traits};
use crate::machine::{AttemptEnded, Event};
use crate::policy::{Policy, Seed};
use crate::sim::{Meets, Weather, World};
use crate::testing::laws::{Violation, violation};
use crate::time::Time;

/// The numbers that show what a backoff does: all small ones, then both sides of every power of two
/// up to `u32::MAX`.
fn numbers() -> impl Iterator<Item = u32> {
    let far = (7..32).flat_map(|bit| {
        let power = 1_u32 << bit;
        [power - 1, power, power + 1]
    });
    (0..127).chain(far).chain([u32::MAX - 1, u32::MAX])
}

fn place(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// **L1 total.** No panic, overflow or NaN for every attempt number up to `u32::MAX`.
///
/// # Errors
/// The number at which the backoff panicked.
pub fn l01_total(mut backoff: impl FnMut(u32) -> Duration) -> Result<(), Violation> {
    for n in numbers() {
        if catch_unwind(AssertUnwindSafe(|| backoff(n))).is_err() {
            return violation("L1", place(n), "the backoff panicked");
        }
    }
    Ok(())
}

/// **L2 bounds.** Each wait lies between `min` and `cap`, after jitter, also the first and the flat
/// ones.
///
/// # Errors
/// The first wait that does not.
pub fn l02_bounds(
    mut backoff: impl FnMut(u32) -> Duration,
    min: Duration,
    cap: Duration,
) -> Result<(), Violation> {
    for n in numbers().skip(1) {
        let wait = backoff(n);
        if wait < min || wait > cap {
            let what = format!("the wait is {wait:?}, it must lie between {min:?} and {cap:?}");
            return violation("L2", place(n), what);
        }
    }
    Ok(())
}

/// **L3 spread.** With any jitter of width ≥ 1 ms the waits at the cap still differ across seeds:
/// the base is shrunk, the sum never clamped. (For a phase ladder, the *times* of attempts do.)
/// Give it one wait or time of each seed, at least eight, from where the cap is reached.
///
/// # Errors
/// When at least a quarter of them are equal: waits piled up at a bound.
pub fn l03_spread(at_cap: &[Duration]) -> Result<(), Violation> {
    let mut sorted = at_cap.to_vec();
    sorted.sort_unstable();
    let longest = sorted
        .chunk_by(|a, b| a == b)
        .map(|equal| (equal.len(), equal.first().copied()))
        .max();
    match longest {
        Some((equal, Some(wait))) if equal > 1 && equal * 4 >= at_cap.len() => {
            let what = format!("{equal} of {} seeds wait {wait:?}", at_cap.len());
            violation("L3", 0, what)
        }
        Some(_) | None => Ok(()),
    }
}

/// **L4 growth.** A law with base > 0 and factor > 1 never decreases, before jitter, and reaches
/// its cap.
///
/// # Errors
/// The number at which it shrinks, or `u32::MAX` if it never reaches the cap.
pub fn l04_growth(
    mut backoff: impl FnMut(u32) -> Duration,
    cap: Duration,
) -> Result<(), Violation> {
    let mut previous = Duration::ZERO;
    for n in numbers().skip(1) {
        let wait = backoff(n);
        if wait < previous {
            let what = format!("the wait is {wait:?}, a wait before it was {previous:?}");
            return violation("L4", place(n), what);
        }
        previous = wait;
    }
    if previous < cap {
        let what = format!("the last wait is {previous:?}, the cap {cap:?} was never reached");
        return violation("L4", place(u32::MAX), what);
    }
    Ok(())
}

/// **L4 growth**, of a decorrelated law: each draw lies in `[base, min(cap, 3·previous)]`.
///
/// # Errors
/// The first draw that does not.
pub fn l04_decorrelated(
    waits: &[Duration],
    base: Duration,
    cap: Duration,
) -> Result<(), Violation> {
    let mut previous = base;
    for (n, &wait) in waits.iter().enumerate() {
        let most = previous.max(base).saturating_mul(3).min(cap);
        if wait < base || wait > most {
            let what = format!("the wait is {wait:?}, it must lie between {base:?} and {most:?}");
            return violation("L4", n + 1, what);
        }
        previous = wait;
    }
    Ok(())
}

/// The first `most` waits of the real machine under this policy, for one endpoint that always
/// refuses at once: fewer if a limit closes it.
///
/// ```
/// use std::time::Duration;
/// use failover_core::endpoint::Security;
/// use failover_core::policy::{Policy, Seed};
/// use failover_core::testing::laws;
///
/// let policy = Policy::default();
/// let waits = laws::waits(&policy, Security::Plain, Seed::new(1), 100);
/// assert_eq!(waits.len(), 100);
/// laws::l02_bounds(|n| waits[(n as usize - 1).min(99)], Duration::ZERO, policy.pace().cap)?;
/// # Ok::<(), laws::Violation>(())
/// ```
#[must_use]
pub fn waits(policy: &Policy, security: Security, seed: Seed, most: usize) -> Vec<Duration> {
    let endpoint = Traits::new(EndpointId::new(0)).route(security);
    let weather = Weather::new(Meets::REFUSE);
    let mut world = World::new(Arc::new(policy.clone()), [endpoint], seed, weather);
    world.start();
    world.run_until(Time::MAX, 2 * most);
    let planned = world.trace().events().filter_map(|(_, event)| {
        let Event::Attempt(AttemptEnded { next, .. }) = event else {
            return None;
        };
        next.map(|next| next.wait)
    });
    planned.take(most).collect()
}
