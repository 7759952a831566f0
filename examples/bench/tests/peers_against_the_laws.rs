//! Which of our laws of a backoff other crates' backoffs keep, as found by running them:
//! `cargo test --test peers_against_the_laws -- --nocapture`.

use std::time::Duration;

use failover_bench::{BASE, CAP};
use failover_core::testing::backoff::{self, Law, Violation};

/// By then every one of them has come to the end of its growth.
const AT_CAP: u32 = 20;
/// What their jitters are documented to spread at the cap is several times this.
const WIDTH: Duration = Duration::from_millis(500);

#[test]
fn ours_keeps_every_law() {
    let policy = failover_bench::ours();
    let client = |seed| {
        let mut waits = failover_bench::waits(&policy, seed);
        move |_: u32| waits.next_wait()
    };
    assert_eq!(report("failover-core", client), []);
    let before_jitter = |attempt| policy.pace().backoff.wait(attempt, CAP);
    assert_eq!(backoff::growth(before_jitter, CAP, AT_CAP), Ok(()));
}

#[test]
fn backon_exceeds_its_cap() {
    let client = |seed| forever(failover_bench::backon(seed));
    assert_eq!(report("backon", client), [Law::Bounds]);
}

#[test]
fn exponential_backoff_meets_at_its_cap_and_cannot_be_replayed() {
    let client = |_| forever(failover_bench::exponential_backoff());
    assert_eq!(
        report("exponential-backoff", client),
        [Law::Spread, Law::Replay]
    );
}

#[test]
fn exponential_backoff_panics_with_a_jitter_below_a_hundredth() {
    let mut backoff = exponential_backoff::Backoff::new(u32::MAX, BASE, CAP);
    backoff.set_jitter(0.005);
    let found = backoff::total(forever(backoff.into_iter().flatten()));
    println!(
        "{:>20} BREAKS {}",
        "exponential-backoff",
        found.clone().unwrap_err()
    );
    assert_eq!(found.unwrap_err().attempt, 1);
}

#[test]
fn tokio_retry_cannot_be_replayed() {
    let client = |_| forever(failover_bench::tokio_retry());
    assert_eq!(report("tokio-retry", client), [Law::Replay]);
}

#[test]
fn retry_policies_waits_less_than_its_least_and_cannot_be_replayed() {
    let client = |_| failover_bench::retry_policies();
    assert_eq!(report("retry-policies", client), [Law::Bounds, Law::Replay]);
}

#[test]
fn tower_meets_at_its_cap_and_cannot_be_replayed() {
    let broken = failover_bench::standing_clock(|| report("tower", |_| failover_bench::tower()));
    assert_eq!(broken.unwrap(), [Law::Spread, Law::Replay]);
}

/// The laws that it breaks, told to whoever reads the output.
///
/// Bounds are those that it was given under the names of least and longest.
fn report<B: FnMut(u32) -> Duration>(name: &str, mut client: impl FnMut(u64) -> B) -> Vec<Law> {
    let found = [
        (Law::Total, backoff::total(client(0))),
        (
            Law::Bounds,
            backoff::bounds(client(1), least(name)..=CAP, 1000),
        ),
        (Law::Spread, backoff::spread(&mut client, AT_CAP, WIDTH)),
        (Law::Replay, backoff::replay(&mut client, AT_CAP)),
    ];
    for (law, outcome) in &found {
        match outcome {
            Ok(()) => println!("{name:>20} keeps  {law}"),
            Err(violation) => println!("{name:>20} BREAKS {violation}"),
        }
    }
    let broken = found.into_iter().filter_map(|(_, outcome)| outcome.err());
    broken.map(|Violation { law, .. }| law).collect()
}

/// What was given to it as the least wait.
fn least(name: &str) -> Duration {
    match name {
        "failover-core" => BASE / 2,
        // It knows no least wait.
        "tokio-retry" => Duration::ZERO,
        _ => BASE,
    }
}

fn forever(mut waits: impl Iterator<Item = Duration>) -> impl FnMut(u32) -> Duration {
    move |_| waits.next().unwrap_or_default()
}
