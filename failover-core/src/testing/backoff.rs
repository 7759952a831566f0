//! Laws L1 to L5 for anybody's backoff: whatever answers "how long before attempt `n`?".
//!
//! A backoff is any `FnMut(u32) -> Duration`; attempts count from 1. One that keeps state of its
//! own ignores the number. Where several clients matter, a factory makes one backoff per seed.
//!
//! ```
//! use std::time::Duration;
//! use failover_core::endpoint::Security;
//! use failover_core::policy::{Policy, Seed};
//! use failover_core::testing::backoff;
//!
//! let policy = Policy::default();
//! let pace = policy.pace();
//! let client = |seed| {
//!     let mut waits = policy.waits(Seed::new(seed), Security::Plain);
//!     move |_attempt: u32| waits.next_wait()
//! };
//! backoff::total(client(1))?;
//! backoff::bounds(client(1), pace.min..=pace.cap, 10_000)?;
//! backoff::spread(client, 20, pace.cap / 2)?;
//! backoff::growth(|attempt| pace.backoff.wait(attempt, pace.cap), pace.cap, 20)?;
//! backoff::replay(client, 20)?;
//! # Ok::<(), backoff::Violation>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::format;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::{String, ToString};
use std::time::Duration;
use std::vec::Vec;

use thiserror::Error;

/// How many clients [`spread`] and [`replay`] compare: the seeds 0 to 99.
pub const CLIENTS: u64 = 100;

/// A law that a backoff broke, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{law}, attempt {attempt}: found {found}, expected {expected}")]
#[non_exhaustive]
pub struct Violation {
    /// The law.
    pub law: Law,
    /// The attempt at which it shows.
    pub attempt: u32,
    /// What was found there.
    pub found: String,
    /// What the law expects.
    pub expected: String,
}

/// The laws of a backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Law {
    /// L1: an answer for every attempt, without panic.
    Total,
    /// L2: min ≤ wait ≤ cap, after jitter.
    Bounds,
    /// L3: clients still differ at the cap.
    Spread,
    /// L4: before jitter the waits never decrease, and they reach the cap.
    Growth,
    /// L5: one seed, one series; another seed, another series.
    Replay,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Total => "L1 total",
            Self::Bounds => "L2 bounds",
            Self::Spread => "L3 spread",
            Self::Growth => "L4 growth",
            Self::Replay => "L5 replay",
        })
    }
}

/// L1: the backoff answers without panic for the attempts 1 to 100, those around every power of
/// two, and `u32::MAX`.
///
/// A panic is caught and becomes the violation; the program's panic hook still prints it.
///
/// ```
/// use std::time::Duration;
/// use failover_core::testing::backoff;
///
/// let overflows = |attempt| Duration::from_millis(100) * 2_u32.pow(attempt - 1);
/// assert_eq!(backoff::total(overflows).unwrap_err().attempt, 33);
///
/// let holds = |attempt: u32| Duration::from_millis(100 << attempt.min(10));
/// assert!(backoff::total(holds).is_ok());
/// ```
///
/// # Errors
/// The first attempt that panicked, with the words of the panic.
pub fn total(mut backoff: impl FnMut(u32) -> Duration) -> Result<(), Violation> {
    for attempt in sampled_attempts() {
        // Whatever state the panic left behind is not used again.
        let answer = catch_unwind(AssertUnwindSafe(|| backoff(attempt)));
        if let Err(panic) = answer {
            let said = panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned());
            return Err(Violation {
                law: Law::Total,
                attempt,
                found: format!("a panic: {}", said.unwrap_or_default()),
                expected: "a wait".to_string(),
            });
        }
    }
    Ok(())
}

/// L2: each of the first `attempts` waits, the very first included, lies within `bounds`.
///
/// ```
/// use std::time::Duration;
/// use failover_core::testing::backoff;
///
/// let cap = Duration::from_secs(1);
/// let jitter_on_top = |attempt: u32| Duration::from_millis(100 << attempt.min(4)).min(cap) + cap / 10;
/// let broken = backoff::bounds(jitter_on_top, Duration::ZERO..=cap, 10).unwrap_err();
/// assert_eq!(broken.to_string(), "L2 bounds, attempt 4: found 1.1s, expected 0ns to 1s");
/// ```
///
/// # Errors
/// The first wait that lies outside.
pub fn bounds(
    mut backoff: impl FnMut(u32) -> Duration,
    bounds: RangeInclusive<Duration>,
    attempts: u32,
) -> Result<(), Violation> {
    for attempt in 1..=attempts {
        let wait = backoff(attempt);
        if !bounds.contains(&wait) {
            return Err(Violation {
                law: Law::Bounds,
                attempt,
                found: format!("{wait:?}"),
                expected: format!("{:?} to {:?}", bounds.start(), bounds.end()),
            });
        }
    }
    Ok(())
}

/// L3: at attempt `at_cap`, by when the growth has come to its end, the waits of [`CLIENTS`]
/// clients still lie at least `width` apart from first to last, and no more than a quarter of them
/// are the same: clients whose sum was clamped to the cap all wait for the cap.
///
/// Of a hundred uniform draws the first and the last lie some 98 % of their range apart: ask for a
/// `width` well below the whole. For a law that spreads the times of the attempts and not each wait
/// (a phase ladder), give the sum of the waits so far instead of the wait.
///
/// ```
/// use std::time::Duration;
/// use failover_core::testing::backoff;
///
/// let cap = Duration::from_secs(1);
/// let clamps = |seed| move |_attempt: u32| (cap + Duration::from_millis(seed)).min(cap);
/// assert_eq!(backoff::spread(clamps, 10, cap / 20).unwrap_err().attempt, 10);
///
/// let shrinks = |seed| move |_attempt: u32| cap - Duration::from_millis(100 - seed);
/// assert!(backoff::spread(shrinks, 10, cap / 20).is_ok());
/// ```
///
/// # Errors
/// The width that was found, or the wait that too many share.
pub fn spread<B: FnMut(u32) -> Duration>(
    mut client: impl FnMut(u64) -> B,
    at_cap: u32,
    width: Duration,
) -> Result<(), Violation> {
    let mut sharing: BTreeMap<Duration, u64> = BTreeMap::new();
    for seed in 0..CLIENTS {
        // Every attempt is asked for: a backoff may keep state.
        let last = (1..=at_cap)
            .map(client(seed))
            .fold(Duration::ZERO, |_, wait| wait);
        *sharing.entry(last).or_default() += 1;
    }
    let broken = |found| {
        Err(Violation {
            law: Law::Spread,
            attempt: at_cap,
            found,
            expected: format!("{CLIENTS} clients at least {width:?} apart, few of them together"),
        })
    };
    let (Some((&least, _)), Some((&most, _))) =
        (sharing.first_key_value(), sharing.last_key_value())
    else {
        return Ok(());
    };
    if most - least < width {
        return broken(format!("{least:?} to {most:?}"));
    }
    let crowd = sharing
        .iter()
        .find(|(_, together)| **together > CLIENTS / 4);
    match crowd {
        Some((wait, together)) => broken(format!("{together} of them at {wait:?}")),
        None => Ok(()),
    }
}

/// L4: the waits *before* jitter never decrease, and reach the cap within `attempts`.
///
/// ```
/// use std::time::Duration;
/// use failover_core::testing::backoff;
///
/// let cap = Duration::from_secs(1);
/// let wraps = |attempt: u32| Duration::from_millis(u64::from(100_u8.wrapping_shl(attempt)));
/// assert_eq!(backoff::growth(wraps, cap, 10).unwrap_err().attempt, 2);
/// ```
///
/// # Errors
/// The first wait below the one before, or the last one if it is below the cap.
pub fn growth(
    mut before_jitter: impl FnMut(u32) -> Duration,
    cap: Duration,
    attempts: u32,
) -> Result<(), Violation> {
    let broken = |attempt, found: Duration, expected| {
        Err(Violation {
            law: Law::Growth,
            attempt,
            found: format!("{found:?}"),
            expected,
        })
    };
    let mut longest = Duration::ZERO;
    for attempt in 1..=attempts {
        let wait = before_jitter(attempt);
        if wait < longest {
            return broken(attempt, wait, format!("at least {longest:?}, as before"));
        }
        longest = wait;
    }
    match longest < cap {
        true => broken(attempts, longest, format!("the cap by then, {cap:?}")),
        false => Ok(()),
    }
}

/// L5: made twice from one seed, a client waits the same series of `attempts` waits twice; the
/// series of [`CLIENTS`] seeds are all different.
///
/// ```
/// use std::time::Duration;
/// use failover_core::testing::backoff;
///
/// let everybody_alike = |_seed| |attempt: u32| Duration::from_millis(1 << attempt);
/// assert_eq!(backoff::replay(everybody_alike, 5).unwrap_err().found, "the series of seed 0 for seed 1");
/// ```
///
/// # Errors
/// The first wait that differs between two runs of one seed, or two seeds with the same series.
pub fn replay<B: FnMut(u32) -> Duration>(
    mut client: impl FnMut(u64) -> B,
    attempts: u32,
) -> Result<(), Violation> {
    let mut seeds: BTreeMap<Vec<Duration>, u64> = BTreeMap::new();
    for seed in 0..CLIENTS {
        let once: Vec<Duration> = (1..=attempts).map(client(seed)).collect();
        let again = (1..=attempts).map(client(seed));
        for (attempt, (&first, second)) in (1..).zip(once.iter().zip(again)) {
            if first != second {
                return Err(Violation {
                    law: Law::Replay,
                    attempt,
                    found: format!("{second:?} in the second run of seed {seed}"),
                    expected: format!("{first:?}, as in the first"),
                });
            }
        }
        if let Some(other) = seeds.insert(once, seed) {
            return Err(Violation {
                law: Law::Replay,
                attempt: attempts,
                found: format!("the series of seed {other} for seed {seed}"),
                expected: "a series of its own for each seed".to_string(),
            });
        }
    }
    Ok(())
}

/// 1 to 100, and those around every power of two, in ascending order.
fn sampled_attempts() -> impl Iterator<Item = u32> {
    let powers = (7..32).flat_map(|bit| {
        let power = 1_u32 << bit;
        [power - 1, power, power + 1]
    });
    (1..=100).chain(powers).chain([u32::MAX - 1, u32::MAX])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_secs(10);

    #[test]
    fn a_panic_at_the_last_attempt_number_is_caught() {
        let broken = total(|attempt| {
            assert!(attempt < u32::MAX, "planted");
            CAP
        })
        .unwrap_err();
        assert_eq!((broken.law, broken.attempt), (Law::Total, u32::MAX));
        assert_eq!(broken.found, "a panic: planted");
        assert_eq!(total(|_| CAP), Ok(()));
    }

    #[test]
    fn a_wait_outside_its_bounds_is_caught_at_its_attempt() {
        let short_at_first = |attempt| if attempt == 1 { CAP / 4 } else { CAP };
        let broken = bounds(short_at_first, CAP / 2..=CAP, 50).unwrap_err();
        assert_eq!((broken.law, broken.attempt), (Law::Bounds, 1));

        let long_at_last = |attempt| if attempt == 50 { 2 * CAP } else { CAP };
        let broken = bounds(long_at_last, CAP / 2..=CAP, 50).unwrap_err();
        assert_eq!((broken.law, broken.attempt), (Law::Bounds, 50));
        assert_eq!(bounds(long_at_last, CAP / 2..=CAP, 49), Ok(()));
    }

    #[test]
    fn clients_that_meet_at_the_cap_are_caught() {
        let clamped = |seed: u64| move |n: u32| (jittered(seed) * n).min(CAP);
        assert_eq!(spread(clamped, 1, CAP / 20), Ok(()));
        let broken = spread(clamped, 1000, CAP / 20).unwrap_err();
        assert_eq!((broken.law, broken.attempt), (Law::Spread, 1000));
    }

    #[test]
    fn a_crowd_at_the_cap_is_caught_even_if_the_others_are_far_away() {
        let half_clamped = |seed: u64| move |_| (CAP * 19 / 20 + jittered(seed)).min(CAP);
        let broken = spread(half_clamped, 5, CAP / 100).unwrap_err();
        assert_eq!(broken.found, "51 of them at 10s");
    }

    #[test]
    fn waits_that_shrink_or_stop_below_the_cap_are_caught() {
        let shrinks = |attempt| if attempt == 7 { CAP / 2 } else { CAP };
        let broken = growth(shrinks, CAP, 10).unwrap_err();
        assert_eq!((broken.law, broken.attempt), (Law::Growth, 7));

        let stops = |attempt: u32| Duration::from_secs(attempt.min(9).into());
        let broken = growth(stops, CAP, 100).unwrap_err();
        assert_eq!((broken.law, broken.attempt), (Law::Growth, 100));
        assert_eq!(growth(stops, CAP * 9 / 10, 9), Ok(()));
    }

    #[test]
    fn hidden_randomness_and_equal_seeds_are_caught() {
        let mut hidden = 0;
        let unseeded = |_| {
            hidden += 1;
            let own = hidden;
            move |_| Duration::from_millis(own)
        };
        let broken = replay(unseeded, 3).unwrap_err();
        assert_eq!((broken.law, broken.attempt), (Law::Replay, 1));

        let alike_from_64_on = |seed: u64| move |_| Duration::from_millis(seed % 64);
        let broken = replay(alike_from_64_on, 3).unwrap_err();
        assert_eq!(broken.found, "the series of seed 0 for seed 64");
    }

    /// 0 to 1 s, evenly over the seeds.
    fn jittered(seed: u64) -> Duration {
        Duration::from_millis(10 * (seed + 1))
    }
}
