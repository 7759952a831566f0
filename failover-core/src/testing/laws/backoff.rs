//! Laws of a backoff alone, anybody's: L1 to L5.

use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Arc;

use crate::endpoint::{EndpointId, Security, Traits};
use crate::machine::{AttemptEnded, Event};
use crate::policy::{Policy, Seed};
use crate::sim::{Meets, Weather, World};
use crate::testing::laws::{Violation, violation};
use crate::time::Time;

/// How many clients [`at_attempt`] and [`l05_series`] make: the seeds 0 to 99.
pub const CLIENTS: u64 = 100;

/// **L1 total.** No panic, overflow or NaN for every attempt number up to `u32::MAX`: asked for the
/// numbers 1 to 127, those around every power of two, and the last ones.
///
/// A panic is caught and becomes the violation; the program's panic hook still prints it.
///
/// ```
/// use std::time::Duration;
/// use failover_core::testing::laws;
///
/// let overflows = |attempt| Duration::from_millis(100) * 2_u32.pow(attempt - 1);
/// assert_eq!(laws::l01_total(overflows).unwrap_err().at, 33);
///
/// let holds = |attempt: u32| Duration::from_millis(100 << attempt.min(10));
/// assert_eq!(laws::l01_total(holds), Ok(()));
/// ```
///
/// # Errors
/// The number at which the backoff panicked, and its words.
pub fn l01_total(mut backoff: impl FnMut(u32) -> Duration) -> Result<(), Violation> {
    for n in numbers() {
        // Whatever state the panic left behind is not used again.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| backoff(n))) {
            let said = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned());
            let what = format!("the backoff panicked: {}", said.unwrap_or_default());
            return violation("L1", place(n), what);
        }
    }
    Ok(())
}

/// **L2 bounds.** Each wait lies between `min` and `cap`, after jitter, also the first and the flat
/// ones.
///
/// ```
/// use std::time::Duration;
/// use failover_core::testing::laws;
///
/// let cap = Duration::from_secs(1);
/// let jitter_on_top = |attempt: u32| Duration::from_millis(100 << attempt.min(4)).min(cap) + cap / 10;
/// let broken = laws::l02_bounds(jitter_on_top, Duration::ZERO, cap).unwrap_err();
/// assert_eq!(broken.to_string(), "L2 at 4: the wait is 1.1s, it must lie between 0ns and 1s");
/// ```
///
/// # Errors
/// The first wait that does not.
pub fn l02_bounds(
    mut backoff: impl FnMut(u32) -> Duration,
    min: Duration,
    cap: Duration,
) -> Result<(), Violation> {
    for n in numbers() {
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
///
/// Give it one wait or time of each client, at least eight, from where the cap is reached:
/// [`at_attempt`] gathers them. From first to last they must lie at least `width` apart, and no
/// quarter of them may be equal. Of a hundred uniform draws the first and the last lie some 98 % of
/// their range apart: ask for a `width` well below the whole.
///
/// ```
/// use std::time::Duration;
/// use failover_core::testing::laws;
///
/// let cap = Duration::from_secs(1);
/// let clamps = |seed| move |_attempt: u32| (cap + Duration::from_millis(seed)).min(cap);
/// assert!(laws::l03_spread(&laws::at_attempt(10, clamps), cap / 20).is_err());
///
/// let shrinks = |seed| move |_attempt: u32| cap - Duration::from_millis(100 - seed);
/// assert_eq!(laws::l03_spread(&laws::at_attempt(10, shrinks), cap / 20), Ok(()));
/// ```
///
/// # Errors
/// The width that was found, or the wait that too many share.
pub fn l03_spread(at_cap: &[Duration], width: Duration) -> Result<(), Violation> {
    let mut sorted = at_cap.to_vec();
    sorted.sort_unstable();
    let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else {
        return Ok(());
    };
    if most - least < width {
        let what = format!("all wait {least:?} to {most:?}, they must lie {width:?} apart");
        return violation("L3", 0, what);
    }
    let crowd = sorted
        .chunk_by(|a, b| a == b)
        .map(|equal| (equal.len(), equal.first().copied()))
        .max();
    match crowd {
        Some((equal, Some(wait))) if equal > 1 && equal * 4 >= at_cap.len() => {
            let what = format!("{equal} of {} clients wait {wait:?}", at_cap.len());
            violation("L3", 0, what)
        }
        Some(_) | None => Ok(()),
    }
}

/// What [`CLIENTS`] clients wait before this attempt, for [`l03_spread`]. Every attempt before it is
/// asked for, too: a backoff may keep state.
pub fn at_attempt<B: FnMut(u32) -> Duration>(
    attempt: u32,
    mut client: impl FnMut(u64) -> B,
) -> Vec<Duration> {
    (0..CLIENTS)
        .map(|seed| {
            let waits = (1..=attempt).map(client(seed));
            waits.fold(Duration::ZERO, |_, wait| wait)
        })
        .collect()
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
    for n in numbers() {
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

/// **L5 replay**, of a backoff: made twice from one seed, a client waits the same series of
/// `attempts` waits twice; the series of [`CLIENTS`] seeds are all different.
///
/// ```
/// use std::time::Duration;
/// use failover_core::testing::laws;
///
/// let everybody_alike = |_seed| |attempt: u32| Duration::from_millis(1 << attempt);
/// let broken = laws::l05_series(everybody_alike, 5).unwrap_err();
/// assert_eq!(broken.what, "seed 1 waits the series of seed 0");
/// ```
///
/// # Errors
/// The first wait that differs between two runs of one seed, or two seeds with the same series.
pub fn l05_series<B: FnMut(u32) -> Duration>(
    mut client: impl FnMut(u64) -> B,
    attempts: u32,
) -> Result<(), Violation> {
    let mut seeds: BTreeMap<Vec<Duration>, u64> = BTreeMap::new();
    for seed in 0..CLIENTS {
        let once: Vec<Duration> = (1..=attempts).map(client(seed)).collect();
        let again = (1..=attempts).map(client(seed));
        for (n, (&first, second)) in (1..).zip(once.iter().zip(again)) {
            if first != second {
                let what = format!("seed {seed} waits {first:?}, and {second:?} the second time");
                return violation("L5", n, what);
            }
        }
        if let Some(other) = seeds.insert(once, seed) {
            let what = format!("seed {seed} waits the series of seed {other}");
            return violation("L5", place(attempts), what);
        }
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

/// The numbers that show what a backoff does: all small ones, then both sides of every power of two
/// up to `u32::MAX`.
fn numbers() -> impl Iterator<Item = u32> {
    let far = (7..32).flat_map(|bit| {
        let power = 1_u32 << bit;
        [power - 1, power, power + 1]
    });
    (1..127).chain(far).chain([u32::MAX - 1, u32::MAX])
}

fn place(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
