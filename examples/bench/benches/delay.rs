//! What one delay costs, beside those of other crates: `cargo bench --bench delay`.

use std::time::{Duration, SystemTime};

use divan::{Bencher, black_box};
use failover_core::policy::Jitter;
use retry_policies::RetryPolicy;
use tower::retry::backoff::Backoff;

fn main() {
    divan::main();
}

#[divan::bench]
fn failover_core(bencher: Bencher<'_, '_>) {
    let policy = failover_bench::ours();
    assert_eq!(
        policy.jitter(failover_core::endpoint::Security::Plain),
        Jitter::Equal
    );
    each(bencher, failover_bench::waits(&policy, 1));
}

#[divan::bench]
fn bare_draw_and_multiplication(bencher: Bencher<'_, '_>) {
    each(bencher, failover_bench::bare(1));
}

#[divan::bench]
fn backon(bencher: Bencher<'_, '_>) {
    each(bencher, failover_bench::backon(1));
}

#[divan::bench]
fn exponential_backoff(bencher: Bencher<'_, '_>) {
    each(bencher, failover_bench::exponential_backoff());
}

#[divan::bench]
fn tokio_retry(bencher: Bencher<'_, '_>) {
    each(bencher, failover_bench::tokio_retry());
}

/// Its answer is a time: the clock is read within.
#[divan::bench]
fn retry_policies(bencher: Bencher<'_, '_>) {
    let policy = failover_bench::retry_policies_policy();
    let (start, mut past) = (SystemTime::now(), 0);
    bencher.bench_local(|| {
        past += 1;
        policy.should_retry(black_box(start), past)
    });
}

/// Its answer is a sleep of tokio: made and dropped, not awaited.
#[divan::bench]
fn tower(bencher: Bencher<'_, '_>) {
    let told = failover_bench::standing_clock(|| {
        let mut backoff = failover_bench::tower_backoff();
        bencher.bench_local(|| drop(black_box(backoff.next_backoff())));
    });
    assert!(told.is_ok());
}

fn each(bencher: Bencher<'_, '_>, mut waits: impl Iterator<Item = Duration>) {
    bencher.bench_local(|| waits.next());
}
