//! Other crates' backoffs in the form that the laws' checkers take, each set to begin at 100 ms,
//! double, end at 10 s, and jitter; and storms of real connections.

pub mod compare;
pub mod process;
pub mod storm;
pub mod tls;

use std::time::{Duration, SystemTime};

use backoff::backoff::Backoff as _;
use backon::{BackoffBuilder, ExponentialBuilder};
use failover_core::endpoint::Security;
use failover_core::policy::{Backoff, Jitter, Pace, Policy, Ratio, Seed, Waits};
use rand::rngs::Xoshiro128PlusPlus;
use rand::{RngExt, SeedableRng};
use retry_policies::{RetryDecision, RetryPolicy};
use tower::retry::backoff::{Backoff as _, ExponentialBackoffMaker, MakeBackoff};
use tower::util::rng::HasherRng;

/// The first wait, before jitter.
pub const BASE: Duration = Duration::from_millis(100);
/// The longest wait.
pub const CAP: Duration = Duration::from_secs(10);

/// Ours: exponential, equal jitter.
pub fn ours() -> Policy {
    Policy::builder()
        .pace(
            Pace::new(Backoff::Exponential {
                base: BASE,
                factor: Ratio::TWO,
            })
            .cap(CAP),
        )
        .jitter(Jitter::Equal)
        .build()
        .unwrap_or_default()
}

/// Of no crate: what any such wait costs at least. A saturating multiplication, and a number of a range,
/// drawn as rand does it from the generator that ours has.
pub fn bare(seed: u64) -> impl Iterator<Item = Duration> {
    let mut generator = Xoshiro128PlusPlus::seed_from_u64(seed);
    let [mut wait, cap] =
        [BASE, CAP].map(|wait| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
    std::iter::repeat_with(move || {
        wait = wait.saturating_mul(2).min(cap);
        Duration::from_nanos(generator.random_range(wait / 2..wait))
    })
}

/// The waits of a client of ours.
pub fn waits(policy: &Policy, seed: u64) -> Waits<'_> {
    policy.waits(Seed::new(seed), Security::Plain)
}

/// backoff, which is not maintained any more: exponential with its default jitter of a half; it takes no
/// seed, and does not end after a quarter of an hour here, as it does by default.
pub fn backoff() -> impl FnMut(u32) -> Duration {
    let mut backoff = backoff_law();
    move |_| backoff.next_backoff().unwrap_or_default()
}

/// The law of [`backoff`].
pub fn backoff_law() -> backoff::ExponentialBackoff {
    backoff::ExponentialBackoffBuilder::new()
        .with_initial_interval(BASE)
        .with_multiplier(2.0)
        .with_max_interval(CAP)
        .with_max_elapsed_time(None)
        .build()
}

/// backon: exponential with its jitter, from this seed.
pub fn backon(seed: u64) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(BASE)
        .with_max_delay(CAP)
        .with_factor(2.0)
        .with_jitter()
        .with_jitter_seed(seed)
        .without_max_times()
        .build()
}

/// exponential-backoff: exponential with its default jitter of 0.3; it takes no seed.
pub fn exponential_backoff() -> impl Iterator<Item = Duration> {
    exponential_backoff::Backoff::new(u32::MAX, BASE, CAP)
        .into_iter()
        .flatten()
}

/// tokio-retry: powers of two times 50 ms, with its jitter; it takes no seed.
pub fn tokio_retry() -> impl Iterator<Item = Duration> {
    tokio_retry::strategy::ExponentialBackoff::from_millis(2)
        .factor(50)
        .max_delay(CAP)
        .map(tokio_retry::strategy::jitter)
}

/// retry-policies: exponential with bounded jitter; it takes no seed, and says when to retry, not
/// how long to wait: the clock is read twice, so that the wait is exact to some microseconds.
pub fn retry_policies() -> impl FnMut(u32) -> Duration {
    let policy = retry_policies_policy();
    move |attempt| {
        let now = SystemTime::now();
        match policy.should_retry(now, attempt - 1) {
            RetryDecision::Retry { execute_after } => {
                let wait = execute_after.duration_since(now).unwrap_or_default();
                Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
            }
            RetryDecision::DoNotRetry => Duration::ZERO,
        }
    }
}

/// The policy of [`retry_policies`].
pub fn retry_policies_policy() -> retry_policies::policies::ExponentialBackoff {
    retry_policies::policies::ExponentialBackoff::builder()
        .retry_bounds(BASE, CAP)
        .jitter(retry_policies::Jitter::Bounded)
        .build_with_max_retries(u32::MAX)
}

/// tower: exponential with a jitter of a half; it takes no seed (its generator may be replaced).
///
/// Its wait is a sleep of tokio: read from the deadline, within a runtime whose clock stands still.
pub fn tower() -> impl FnMut(u32) -> Duration {
    let mut backoff = tower_backoff();
    move |_| {
        let now = tokio::time::Instant::now();
        backoff.next_backoff().deadline().duration_since(now)
    }
}

/// The backoff of [`tower`].
pub fn tower_backoff() -> tower::retry::backoff::ExponentialBackoff {
    match ExponentialBackoffMaker::new(BASE, CAP, 0.5, HasherRng::new()) {
        Ok(mut maker) => maker.make_backoff(),
        Err(_) => ExponentialBackoffMaker::default().make_backoff(),
    }
}

/// stubborn-io: its own strategy, with the jitter of its default, from this seed.
pub fn stubborn_io(seed: u64) -> impl Iterator<Item = Duration> {
    stubborn_strategy().with_seed(seed).into_iter()
}

/// The strategy of [`stubborn_io`].
pub fn stubborn_strategy() -> stubborn_io::strategies::ExpBackoffStrategy {
    stubborn_io::strategies::ExpBackoffStrategy::new(BASE, 2.0, 0.05).with_max(CAP)
}

/// Runs this within a runtime of tokio whose clock stands still.
pub fn standing_clock<T>(then: impl FnOnce() -> T) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    Ok(runtime.block_on(async { then() }))
}
